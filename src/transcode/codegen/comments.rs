//! Comments of the protos, for documents about the API.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// Comments of a package's services, RPCs, messages and fields by their names in the package
/// (`Generate.SubmitImage`, `ImageStatus.kudos`), and of its reasons by their return codes.
pub fn read(
    pool: &DescriptorPool,
    package: &str,
    reasons: &[(String, String, u64)],
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for service in pool.services().filter(|service| service.package_name() == package) {
        let file = service.parent_file();
        found.insert(service.name().to_owned(), comment(&file, service.path()));
        for rpc in service.methods() {
            found.insert(format!("{}.{}", service.name(), rpc.name()), comment(&file, rpc.path()));
        }
    }
    for message in pool.all_messages().filter(|message| message.package_name() == package) {
        let file = message.parent_file();
        found.insert(message.name().to_owned(), comment(&file, message.path()));
        for field in message.fields() {
            found.insert(format!("{}.{}", message.name(), field.name()), comment(&file, field.path()));
        }
    }
    if let Some(known) = pool.get_enum_by_name(&format!("{package}.Reason")) {
        let file = known.parent_file();
        let values = known.values().filter(|value| value.number() != 0);
        for (value, (_, rc, _)) in values.zip(reasons) {
            found.insert(rc.clone(), comment(&file, value.path()));
        }
    }
    found
}

/// What stands before an element: paragraphs of one line each, with an empty line between two.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let text = locations
        .filter(|location| location.path == path)
        .find_map(|location| location.leading_comments.as_deref());
    let mut paragraphs: Vec<String> = vec![String::new()];
    for line in text.unwrap_or_default().lines().map(str::trim) {
        match (line, paragraphs.last_mut()) {
            ("", _) => paragraphs.push(String::new()),
            (line, Some(last)) => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(line);
            }
            (_, None) => {}
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}
