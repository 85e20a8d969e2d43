//! Downloads from the upstream address into one file, and reads at most one
//! byte more than the recipe's length.

use crate::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use ureq::Agent;

/// Connection timeout. A machine without network fails at once; one behind a
/// silent firewall fails after this time.
const CONNECT: Duration = Duration::from_secs(5);
const FIRST_BYTE: Duration = Duration::from_secs(20);
const WHOLE_BODY: Duration = Duration::from_secs(300);

/// Downloads `url` into `part`, at most one byte more than `bytes`, so
/// that a longer response is detected.
pub(crate) fn fetch(url: &str, bytes: u64, part: &Path) -> Result<String, Error> {
    let failed = |why: String| Error::Download {
        url: url.to_owned(),
        why,
    };
    let agent = Agent::new_with_config(
        Agent::config_builder()
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(FIRST_BYTE))
            .timeout_recv_body(Some(WHOLE_BODY))
            .build(),
    );
    let response = agent
        .get(url)
        .call()
        .map_err(|error| failed(error.to_string()))?;
    let mut body = response.into_body().into_reader().take(bytes + 1);
    let mut file = File::create(part).map_err(|error| Error::Write {
        path: part.into(),
        error,
    })?;
    let written = io::copy(&mut body, &mut file).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Write {
            path: part.into(),
            error,
        },
        _ => failed(format!("broken off: {error}")),
    })?;
    if written < bytes {
        return Err(failed(format!("truncated: {written} of {bytes} bytes")));
    }
    Ok(url.to_owned())
}
