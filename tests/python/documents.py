"""Holds a broker's documents about its API against what OpenAPI 3.1 and Swagger 2.0 may be."""

import json
import sys

from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from web import call

VALIDATORS = {"openapi.json": OpenAPIV31SpecValidator, "swagger.json": OpenAPIV2SpecValidator}


def main(base):
    for name, validator in VALIDATORS.items():
        status, headers, body = call("GET", f"{base}/api/{name}")
        assert status == 200, status
        assert headers["content-type"].startswith("application/json"), headers
        faults = [f"{'/'.join(map(str, fault.path))}: {fault.message[:300]}"
                  for fault in validator(json.loads(body)).iter_errors()]
        assert not faults, "\n".join(faults)
        print(f"ok: {name}")


if __name__ == "__main__":
    main(sys.argv[1])
