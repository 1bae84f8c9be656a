//! The wish to stop, told to everybody at once.

use std::process::exit;

use tokio::sync::watch;

/// Exit code of a program that was told to stop twice.
const INTERRUPTED: i32 = 130;

/// Says when to stop. Dropping it says so, too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// With the receiving end, which can be cloned.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// From now on everybody is to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Hears when to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Set by Ctrl-C or SIGTERM. The second one ends the program where it stands.
    ///
    /// # Errors
    /// The system's, if signals cannot be had.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn on_signal() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (stopper, stop) = Stopper::new();
        tokio::spawn(async move {
            for told in 0_u8.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told > 0 {
                    exit(INTERRUPTED);
                }
                crate::commands::service::stopping();
                tracing::warn!("stopping; once more ends the program at once");
                stopper.stop();
            }
        });
        Ok(stop)
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        // A stopper that is gone cannot say any more that work should go on.
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when it is time to stop.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error is a stopper that is gone.
        let _ = receiver.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_hear_it() {
        let (stopper, stop) = Stopper::new();
        let clone = stop.clone();
        assert!(!stop.is_set() && !clone.is_set());
        stopper.stop();
        clone.wait().await;
        assert!(stop.is_set() && clone.is_set());
    }

    #[tokio::test]
    async fn a_stopper_that_is_gone_stops() {
        let (stopper, stop) = Stopper::new();
        drop(stopper);
        stop.wait().await;
        assert!(stop.is_set());
    }
}
