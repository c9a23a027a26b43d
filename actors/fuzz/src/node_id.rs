//! The text of a NodeId (OPC UA Part 6 §5.3.1.10), as a configuration has it.

use opcua_subscription::{Namespace, NodeIdText};

/// Reads `input` as the text of a NodeId.
pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(node_id) = text.parse::<NodeIdText>() else { return };
    let written = node_id.to_string();
    assert_eq!(written.parse(), Ok(node_id.clone()), "`{written}` reads back alike");
    let namespaces = [String::from("http://opcfoundation.org/UA/"), String::from("urn:plant")];
    match (&node_id.namespace, node_id.resolve(&namespaces)) {
        (Namespace::Index(index), resolved) => {
            let resolved = resolved.expect("an index needs no NamespaceArray");
            assert_eq!((resolved.namespace_index, resolved.identifier), (*index, node_id.identifier));
        }
        (Namespace::Uri(uri), resolved) => {
            assert_eq!(resolved.is_some(), namespaces.iter().any(|known| **known == **uri));
        }
    }
}
