//! What the compiled descriptors must hold for every face of the API.

use prost::Message;
use prost_types::FileDescriptorSet;

fn files() -> FileDescriptorSet {
    FileDescriptorSet::decode(gridbroker::rpc::DESCRIPTOR_SET).expect("build.rs writes a descriptor set")
}

#[test]
fn every_rpc_message_and_field_of_the_api_is_documented() {
    let mut bare = Vec::new();
    for file in files().file.iter().filter(|f| f.package().starts_with("grid.v2")) {
        let info = file.source_code_info.clone().unwrap_or_default();
        let has_comment = |path: &[i32]| {
            info.location.iter().any(|l| l.path == path && !l.leading_comments().trim().is_empty())
        };
        for (m, message) in file.message_type.iter().enumerate() {
            if !has_comment(&[4, m as i32]) {
                bare.push(message.name().to_owned());
            }
            for (f, field) in message.field.iter().enumerate() {
                if !has_comment(&[4, m as i32, 2, f as i32]) {
                    bare.push(format!("{}.{}", message.name(), field.name()));
                }
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            for (r, rpc) in service.method.iter().enumerate() {
                if !has_comment(&[6, s as i32, 2, r as i32]) {
                    bare.push(format!("{}.{}", service.name(), rpc.name()));
                }
            }
        }
    }
    // Entries of maps have no place for one.
    bare.retain(|name| !name.contains("Entry"));
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn generate_worker_status_and_users_are_declared() {
    let set = files();
    let services: Vec<_> = set
        .file
        .iter()
        .filter(|f| f.package() == "grid.v2")
        .flat_map(|f| f.service.iter().map(|s| s.name().to_owned()))
        .collect();
    for wanted in ["Generate", "Worker", "Status", "Users", "Filters", "Stats", "Documents"] {
        assert!(services.iter().any(|s| s == wanted), "{wanted} is missing in {services:?}");
    }
}
