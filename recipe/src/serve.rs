//! What a recipe says of an app that serves. Data only.

use serde::Deserialize;

/// What a recipe says of an app that serves (`[serve]`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub port: u16,
    /// Arguments of the native server; `{root}` stands for a folder with the files of the recipe's `[files]`.
    pub native: Vec<String>,
    /// HTTP: the page at `/`, a file beside the recipe.
    pub page: Option<String>,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Redis's own.
    Redis,
    /// HTTP.
    Http,
}
