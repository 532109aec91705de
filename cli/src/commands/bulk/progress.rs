//! How far we are: a bar on a terminal, elsewhere a line every ten seconds.

use super::state::Tally;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress<'a> {
    bar: ProgressBar,
    output: &'a Output,
    last: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} % {msg} {eta}") {
            bar.set_style(style);
        }
        Self { bar, output, last: Instant::now() }
    }

    /// `progress` is how far we are and how far there is to go; a table may have grown since it was counted.
    pub(super) fn show(&mut self, (done, all): (u64, u64), tally: &Tally) {
        let message = format!("{} rows, {} rewrapped, {} failed", tally.rows(), tally.rewrapped, tally.failed);
        if self.bar.is_hidden() {
            if self.last.elapsed() >= EVERY {
                let percent = done.saturating_mul(100).checked_div(all.max(done)).unwrap_or(100);
                self.output.remark(format!("{percent} %: {message}"));
                self.last = Instant::now();
            }
            return;
        }
        self.bar.set_length(all.max(done));
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
