//! Tells a story step by step, with the time that each step took. A broken promise ends it.

use std::fmt::Display;
use std::time::Instant;

/// A promise that was broken, or a step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl From<super::wallet::WalletError> for Broken {
    fn from(error: super::wallet::WalletError) -> Self {
        Self(error.0)
    }
}

/// Hears the number of a step when it has ended, before the next begins.
pub type AfterStep<'a> = dyn Fn(u32) + Send + Sync + 'a;

/// The teller of one story.
pub struct Steps<'a> {
    after_step: Option<&'a AfterStep<'a>>,
    story: &'static str,
    number: u32,
    started: Instant,
    step: Instant,
}

impl<'a> Steps<'a> {
    /// Begins a story.
    #[must_use]
    pub fn begin(story: &'static str, title: &str, after_step: Option<&'a AfterStep<'a>>) -> Self {
        println!("\n── {story}: {title}");
        Self {
            after_step,
            story,
            number: 0,
            started: Instant::now(),
            step: Instant::now(),
        }
    }

    /// Tells what the step that ends now has shown.
    pub fn tell(&mut self, what: impl Display) {
        self.number += 1;
        println!(
            "  {:>2}. {what}  [{:.0} ms]",
            self.number,
            self.step.elapsed().as_secs_f64() * 1000.0
        );
        if let Some(after_step) = self.after_step {
            after_step(self.number);
        }
        self.step = Instant::now();
    }

    /// Ends the story.
    pub fn end(self) {
        println!(
            "  ✓ {} kept its promises  [{:.1} s]",
            self.story,
            self.started.elapsed().as_secs_f64()
        );
    }
}

/// A promise: ends the story where it does not hold.
///
/// # Errors
/// [`Broken`], with the words given.
pub fn promise(holds: bool, otherwise: impl Display) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(Broken(otherwise.to_string()))
    }
}
