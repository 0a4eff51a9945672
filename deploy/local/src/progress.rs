//! What a person sees while things start.

use std::time::Instant;

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// To standard output.
    Shown,
    /// Nowhere: tests.
    Silent,
}

/// A step that has begun.
#[derive(Debug)]
#[must_use = "a step that is done says so"]
pub struct Step {
    progress: Progress,
    name: String,
    begun: Instant,
}

impl Progress {
    /// A line of its own.
    pub fn say(self, line: &str) {
        if matches!(self, Self::Shown) {
            println!("{line}");
        }
    }

    /// Begins a step. Steps overlap, so a line is printed only when it is done.
    pub fn step(self, name: impl Into<String>) -> Step {
        Step {
            progress: self,
            name: name.into(),
            begun: Instant::now(),
        }
    }
}

impl Step {
    /// Says that it is done, and how long it took.
    pub fn done(self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.progress
            .say(&format!("  {:<52} {seconds:>6.1} s", self.name));
    }
}
