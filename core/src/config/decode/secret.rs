//! Kubernetes' Secret.

use alloc::boxed::Box;
use alloc::string::String;

use crate::config::resource::{KubernetesSecret, Meta};
use crate::config::secret::{Secret, from_base64};
use crate::config::tree::Node;

pub(super) fn decode(document: &Node, meta: Meta) -> KubernetesSecret {
    let entries = |name| document.get(name).map(Node::entries).unwrap_or_default().iter();
    let decoded = entries("data").filter_map(|entry| {
        let text = String::from_utf8(from_base64(entry.value.text()?)?).ok()?;
        Some((Box::from(&*entry.key.value), Secret::new(text)))
    });
    let plain = entries("stringData")
        .filter_map(|entry| Some((Box::from(&*entry.key.value), Secret::new(entry.value.text()?.into()))));
    KubernetesSecret {
        meta,
        values: decoded.chain(plain).collect(),
    }
}
