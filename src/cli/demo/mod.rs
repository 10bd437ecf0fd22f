//! `gaggle demo`: three members on this host in one command.
//!
//! Each is a process of its own (so that it can be killed, which is part of the fun), with its own
//! data directory, on the loopback interface. They find each other by real multicast on a free UDP
//! port, so nothing leaves this host and nothing that runs here is disturbed.
//!
//! | file | what lives there |
//! |---|---|
//! | `member` | one member's process |
//! | `place` | the temporary directory, the free ports |
//! | `tour` | what is printed, and the change that is watched on its way |

mod member;
mod place;
mod tour;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use super::output;
use super::session::wait_for;
use crate::config::duration;
use crate::io::clock::{mono, sleep_until};
use crate::io::tls::Secret;
use member::Member;
use place::Place;
use tour::Tour;

/// The members' names.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// How long the members may take to find each other.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether a member has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Run three members on this host, to try things out
///
/// They find each other by multicast on the loopback interface, on free ports, with their own
/// temporary data. Prints the password, the certificate, the addresses and some curl lines to try,
/// and shows a change that arrives on the other members. Ctrl-C ends it and clears up.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// End by itself after this time, such as 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasting: Option<Duration>,
    /// End as soon as everything was shown
    #[arg(long, conflicts_with = "lasting")]
    once: bool,
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        wait_for(self.show())?;
        Ok(Exit::Ok)
    }

    async fn show(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let place = Place::new()?;
        let secret = Secret::generate();
        let tour = Tour::new(&place, &secret)?;
        let mut members = Vec::new();
        for (name, port) in NAMES.into_iter().zip(place.ports) {
            members.push(Member::start(name, port, &place, &secret, tour.password())?);
        }
        let shown = tokio::select! {
            shown = self.tour(&tour, &mut members) => shown,
            () = stop.wait() => Ok(()),
        };
        output::text("\nstopping the three members and removing their data\n")?;
        for member in members {
            member.stop().await;
        }
        shown
    }

    async fn tour(&self, tour: &Tour, members: &mut [Member]) -> Result<(), Failure> {
        output::text("starting three members; they look for each other by multicast\n")?;
        let ready = async {
            tour.meet().await;
            tour.elect().await
        };
        let leader = tokio::select! {
            met = tokio::time::timeout(PATIENCE, Box::pin(ready)) => match met {
                Ok(leader) => leader,
                Err(_elapsed) => {
                    return Err(Failure::message(
                        Exit::TimeOut,
                        format!("the members did not become a cluster within {PATIENCE:?}"),
                    )
                    .hint(member::last_words(members)));
                }
            },
            ended = first_ended(members) => return Err(ended),
        };
        tour.print(members, &leader)?;
        tour.watch_a_change().await?;
        if self.once {
            return Ok(());
        }
        output::text("\nCtrl-C ends the demonstration.\n")?;
        match self.lasting {
            Some(span) => sleep_until(mono().plus(span)).await,
            None => report_the_ended(members).await,
        }
        Ok(())
    }
}

/// Waits until a member's process ends, which none should.
async fn first_ended(members: &mut [Member]) -> Failure {
    loop {
        for member in &mut *members {
            if let Some(how) = member.has_ended() {
                let message = format!("member {} ended while starting ({how})", member.name());
                let words = member.last_words();
                return Failure::message(Exit::Error, message).hint(words);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells, for as long as it is polled, which member was killed.
async fn report_the_ended(members: &mut [Member]) {
    let mut told = [false; NAMES.len()];
    loop {
        for (member, told) in members.iter_mut().zip(&mut told) {
            if *told {
                continue;
            }
            if let Some(how) = member.has_ended() {
                *told = true;
                let text = format!(
                    "member {} has ended ({how}); the others go on, see `members`\n",
                    member.name()
                );
                // Nobody reads any more: no reason to stop the other members.
                drop(output::text(&text));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ctrl-C, or what `kill` and a closed terminal send.
struct Stop {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
