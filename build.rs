//! Compiles `proto/` without `protoc`, and generates messages, services, checks, HTTP routes
//! and documents about them.

#[path = "src/transcode/codegen/mod.rs"]
mod codegen;

use std::{error::Error, path::PathBuf};

const FILES: &[&str] = &[
    "grid/v2/generate.proto",
    "grid/v2/worker.proto",
    "grid/v2/video.proto",
    "grid/v2/status.proto",
    "grid/v2/users.proto",
    "grid/v2/styles.proto",
    "grid/v2/collections.proto",
    "grid/v2/filters.proto",
    "grid/v2/stats.proto",
    "grid/v2/documents.proto",
    "grid/v2/shared_keys.proto",
    "grid/v2/teams.proto",
    "grid/v2/operations.proto",
    "grid/v2/kudos.proto",
    "grid/v2/reason.proto",
    "grid/admin/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=src/transcode/codegen");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // The typed descriptors lose custom options; the pool keeps them.
    let api = codegen::Api::read(&compiler.descriptor_pool(), "grid.v2")?;
    std::fs::write(out.join("checks.rs"), api.checks())?;
    std::fs::write(out.join("routes.rs"), api.routes())?;
    let (openapi, swagger) = api.documents();
    std::fs::write(out.join("openapi.json"), openapi)?;
    std::fs::write(out.join("swagger.json"), swagger)?;

    let mut builder = tonic_prost_build::configure()
        .extern_path(".google.protobuf.Struct", "crate::rpc::json::Struct")
        .codec_path("crate::rpc::codec::LeanCodec")
        .btree_map(".");
    for (path, attribute) in api.message_attributes() {
        builder = builder.message_attribute(path, attribute);
    }
    for (path, attribute) in api.field_attributes() {
        builder = builder.field_attribute(path, attribute);
    }
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
