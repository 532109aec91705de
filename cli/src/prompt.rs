//! Questions to a person at a terminal. Without one, a missing answer is an error, never a hang.

use crate::failure::{Failure, Result};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use zeroize::Zeroizing;

/// Whether there is a person to ask.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A secret from the argument, from standard input where the argument is `-`, or typed without echo.
pub(crate) fn secret(argument: Option<&str>, question: &str) -> Result<Zeroizing<String>> {
    match argument {
        Some("-") => {
            let mut line = Zeroizing::new(String::new());
            io::stdin().lock().read_line(&mut line)?;
            Ok(Zeroizing::new(line.trim().to_owned()))
        }
        Some(text) => Ok(Zeroizing::new(text.trim().to_owned())),
        None if is_possible() => rpassword::prompt_password(format!("{question} (will not be shown): "))
            .map(|text| Zeroizing::new(text.trim().to_owned()))
            .map_err(|error| Failure::local("the terminal gave no answer").because(error)),
        None => Err(Failure::local(format!("{question}: not given"))
            .because("there is no terminal to ask at")
            .fix("give it as an argument, or - to read it from standard input")),
    }
}

/// A line of text, `default` where the person just presses Enter.
pub(crate) fn line(question: &str, default: &str) -> Result<String> {
    write!(io::stderr(), "{question} [{default}]: ")?;
    io::stderr().flush()?;
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    let text = text.trim();
    Ok(if text.is_empty() { default.to_owned() } else { text.to_owned() })
}
