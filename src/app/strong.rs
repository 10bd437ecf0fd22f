//! The strong side, as the faces hold it: it may be off.

use std::sync::Arc;

use crate::strong::engine::{Engine, View};

/// The strong side of this member. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Strong(Option<Engine>);

/// The strong side is off on this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the strong side is off: start the members with --voters or --cluster-size")]
pub struct StrongOff;

impl Strong {
    /// There is none.
    pub const fn off() -> Self {
        Self(None)
    }

    /// This engine.
    pub const fn on(engine: Engine) -> Self {
        Self(Some(engine))
    }

    /// The engine.
    ///
    /// # Errors
    /// [`StrongOff`] if the member was started without one.
    pub fn engine(&self) -> Result<&Engine, StrongOff> {
        self.0.as_ref().ok_or(StrongOff)
    }

    /// The state of the strong side as it is on this member, however old; none: it is off.
    pub fn local(&self) -> Option<Arc<View>> {
        self.0.as_ref().map(Engine::local)
    }
}
