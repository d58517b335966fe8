//! `istio.alibabacloud.com` LLMProvider: an LLM outside, its parameters and its key.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::config::diagnostic::Location;
use crate::config::secret::Secret;

/// An LLMProvider.
#[derive(Debug, Clone)]
pub struct LlmProvider {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.workloadSelector.labels`; `None` selects every gateway in scope.
    pub workload_selector: Option<Labels>,
    /// `spec.host`: upstream authority, SNI, and what `providerHost` refers to.
    pub host: Spanned<String>,
    /// `spec.path`: replaces the client's path.
    pub path: Option<Spanned<String>>,
    /// `spec.configs.defaultConfig`.
    pub default_config: Option<ProviderConfig>,
    /// `spec.configs.routeSpecificConfigs`, by rule name; what an entry lacks it inherits from the default.
    pub route_specific_configs: Vec<(Spanned<String>, ProviderConfig)>,
}

/// `openAIConfig` of one entry.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// The entry.
    pub at: Location,
    /// `model`: set when the client names none.
    pub model: Option<Spanned<String>>,
    /// `stream`: set when the client does not say.
    pub stream: Option<bool>,
    /// `apiKey`: sent as `Authorization: Bearer`.
    pub api_key: Option<Spanned<Secret>>,
}
