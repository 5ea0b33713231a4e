//! The policy that decides whether a principal may make a change.

use tidemill_core::{Error, Result, record::AuditAction};

use crate::{Principal, PrincipalKind};

/// Decides whether a principal may act on a resource. [`Control`](crate::Control) asks it before each change.
///
/// ```
/// use tidemill_control::{Authorizer, Principal};
/// use tidemill_core::{Error, Result, record::AuditAction};
///
/// struct ReadOnly;
///
/// impl Authorizer for ReadOnly {
///     fn authorize(&self, principal: &Principal, action: AuditAction, resource: &str) -> Result<()> {
///         Err(Error::denied(format!("`{principal}` must not {action} `{resource}`: the store is read-only")))
///     }
/// }
/// ```
pub trait Authorizer: Send + Sync {
    /// Returns a `Denied` error unless `principal` may perform `action` on `resource`, such as `models/late/aliases/champion`.
    fn authorize(&self, principal: &Principal, action: AuditAction, resource: &str) -> Result<()>;
}

/// Allows everything to local users, and nothing to others. The default policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOnly;

impl Authorizer for LocalOnly {
    fn authorize(&self, principal: &Principal, action: AuditAction, resource: &str) -> Result<()> {
        match principal.kind() {
            PrincipalKind::Local => Ok(()),
            PrincipalKind::User | PrincipalKind::Service => Err(Error::denied(format!(
                "`{principal}` must not {action} on `{resource}`: only local users may"
            ))),
        }
    }
}
