//! `doctor`: what is wrong with this installation, each finding with its remedy. Exit code 0 fine, 3 warnings, 4 failures.
//!
//! Changes nothing, except that the HSM is asked to make and forget a few session keys and the storage directory to take a
//! small file.

mod machine;
mod parts;

use crate::{
    failure::{Failure, Result},
    output::{Output, print},
};
use chancery_server::config::Config;
use clap::Args;
use serde::Serialize;
use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub(crate) struct DoctorFlags {
    /// The server's configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/chancery/chancery.toml")]
    config: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(what: &str, detail: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict: Verdict::Ok, detail: detail.into(), fix: None }
    }

    fn warn(what: &str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, fix: Some(fix.into()), ..Self::ok(what, detail) }
    }

    fn fail(what: &str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, fix: Some(fix.into()), ..Self::ok(what, detail) }
    }
}

pub(crate) fn run(flags: &DoctorFlags, output: &Output) -> Result<ExitCode> {
    let findings = examine(flags)?;
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if flags.json || !output.is_table() {
        let text = serde_json::to_string_pretty(&findings)
            .map_err(|error| Failure::local("the findings cannot be printed").because(error))?;
        print(&text)?;
    } else {
        print(&people(&findings))?;
    }
    Ok(ExitCode::from(match worst {
        Verdict::Ok => 0,
        Verdict::Warn => 3,
        Verdict::Fail => 4,
    }))
}

fn examine(flags: &DoctorFlags) -> Result<Vec<Finding>> {
    let path = &flags.config;
    let mut findings = vec![machine::private_file("configuration file", path)];
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => {
            findings.push(Finding::fail(
                "configuration",
                error.to_string(),
                "correct the file; docs/configuration.md lists every setting",
            ));
            return Ok(findings);
        }
    };
    let detail = format!("{} listener(s), {} audit sink(s)", config.listeners.len(), config.settings.audit.len());
    findings.push(Finding::ok("configuration", detail));
    findings.extend(config.warnings.iter().map(|text| Finding::warn("configuration", text, "remove the setting")));
    findings.extend(config.listeners.iter().flat_map(parts::listener));
    findings.extend(parts::storage(&config.storage)?);
    findings.extend(parts::audit(&config.settings.audit));
    match &config.hsm {
        Some(hsm) => findings.extend(parts::hsm(hsm)?),
        None => findings.push(Finding::warn(
            "HSM",
            "none is configured: keys are protected by shares that people hold",
            "add an hsm section unless that is meant",
        )),
    }
    findings.extend(machine::limits());
    Ok(findings)
}

fn people(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        let _ = writeln!(text, "{mark}  {}: {}", finding.what, finding.detail);
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "      do: {fix}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_that_is_not_fine_says_what_to_do() {
        let text = people(&[Finding::ok("a", "fine"), Finding::fail("b", "broken", "mend it")]);
        assert_eq!(text, "ok    a: fine\nFAIL  b: broken\n      do: mend it\n");
    }

    #[test]
    fn a_broken_configuration_ends_the_examination() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("chancery.toml");
        std::fs::write(&config, "listener.api = { adress = \"x\" }\n").unwrap();
        let findings = examine(&DoctorFlags { config, json: false }).unwrap();
        let last = findings.last().unwrap();
        assert!(last.verdict == Verdict::Fail && last.detail.contains("adress"), "{}", last.detail);
    }
}
