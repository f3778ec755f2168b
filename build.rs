//! Compiles `proto/` without `protoc` and generates messages, services and HTTP routes.

use std::{error::Error, path::PathBuf};

const FILES: &[&str] = &[
    "grid/v2/generate.proto",
    "grid/v2/worker.proto",
    "grid/v2/status.proto",
    "grid/v2/users.proto",
    "grid/v2/reason.proto",
    "grid/admin/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
