//! When an image that has ended is started again: the policy of `--restart`, and how long to wait before.
//! Decides only; starts and reads nothing.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Wait before the first of several starts in a row; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// An image that ran for so long begins a new row.
const LASTED: Duration = Duration::from_secs(10);

/// `--restart`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// After an exit status other than 0; no more than so many times in a row.
    OnFailure(Option<u32>),
    /// After every end but by `bespoke stop`.
    Always,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "no" => Ok(Self::No),
            None if text == "always" => Ok(Self::Always),
            None if text == "on-failure" => Ok(Self::OnFailure(None)),
            Some(("on-failure", most)) => match most.parse() {
                Ok(most) if most > 0 => Ok(Self::OnFailure(Some(most))),
                _ => Err(
                    "expected a number of restarts after the colon, such as on-failure:5".into(),
                ),
            },
            _ => Err("expected no, on-failure, on-failure:TIMES or always".into()),
        }
    }
}

impl TryFrom<String> for Policy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(most)) => write!(f, "on-failure:{most}"),
            Self::Always => f.write_str("always"),
        }
    }
}

/// The starts in a row so far.
#[derive(Debug, Default)]
pub(crate) struct Row(u32);

impl Row {
    /// How long to wait before the next start of an image that ended with `status` after it ran for `lasted`; `None` when it
    /// is not started again.
    pub(crate) fn next(
        &mut self,
        policy: Policy,
        status: u8,
        lasted: Duration,
    ) -> Option<Duration> {
        if lasted >= LASTED {
            self.0 = 0;
        }
        let goes_on = match policy {
            Policy::No => false,
            Policy::OnFailure(most) => status != 0 && most.is_none_or(|most| self.0 < most),
            Policy::Always => true,
        };
        if !goes_on {
            return None;
        }
        let wait = FIRST.saturating_mul(1u32.checked_shl(self.0).unwrap_or(u32::MAX));
        self.0 = self.0.saturating_add(1);
        Some(wait.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_run_that_lasted() {
        let mut row = Row::default();
        let mut next = |lasted| {
            row.next(Policy::Always, 0, lasted)
                .map(|wait| wait.as_secs())
        };
        let waits: Vec<_> = (0..40).map_while(|_| next(AT_ONCE)).collect();
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((waits.len(), waits[39]), (40, 60));
        assert_eq!(next(LASTED), Some(1));
        assert_eq!(next(AT_ONCE), Some(2));
    }

    #[test]
    fn a_failure_is_a_status_other_than_0() {
        let mut row = Row::default();
        assert_eq!(row.next(Policy::No, 1, AT_ONCE), None);
        assert_eq!(row.next(Policy::OnFailure(None), 0, AT_ONCE), None);
        let most = Policy::OnFailure(Some(2));
        let again: Vec<bool> = (0..4)
            .map(|_| row.next(most, 139, AT_ONCE).is_some())
            .collect();
        assert_eq!(again, [true, true, false, false]);
        assert!(row.next(most, 139, LASTED).is_some());
    }

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for text in ["no", "always", "on-failure", "on-failure:7"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "yes",
            "on-failure:",
            "on-failure:0",
            "on-failure:-1",
            "always:3",
        ] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }
}
