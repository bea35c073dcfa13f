//! One question to polkit, which is taken back when nobody waits for the answer any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Deserialize;
use zbus::export::futures_core::Stream;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::{BusName, UniqueName};
use zbus::{Connection, Type, Variant, proxy};

/// `CheckAuthorizationFlags`: a person may be asked.
const ALLOW_USER_INTERACTION: u32 = 1;

#[proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
pub(super) trait Authority {
    fn check_authorization(
        &self,
        subject: &Subject<'_>,
        action_id: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation_id: &str,
    ) -> zbus::Result<Answer>;

    fn cancel_check_authorization(&self, cancellation_id: &str) -> zbus::Result<()>;
}

/// Who is meant: a kind and what it takes to tell one.
type Subject<'a> = (&'a str, HashMap<&'a str, Variant<'a>>);

/// `AuthorizationResult`.
#[derive(Debug, Deserialize, Type)]
pub(super) struct Answer {
    pub(super) authorized: bool,
    /// Whether it could be yes if a person were asked.
    pub(super) challenge: bool,
    pub(super) details: HashMap<String, String>,
}

impl Answer {
    /// Whether a person was asked and did not want to answer.
    pub(super) fn is_dismissed(&self) -> bool {
        self.details.contains_key("polkit.dismissed")
    }
}

/// Tells the questions of this process apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A question. Dropped while a person is being asked, it is taken back.
pub(super) struct Question<'a> {
    authority: AuthorityProxy<'static>,
    subject: Subject<'a>,
    action: &'a str,
    details: &'a [(&'static str, String)],
    id: String,
    /// Whether a person may be looking at it.
    open: AtomicBool,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        authority: AuthorityProxy<'static>,
        sender: &'a UniqueName<'_>,
        action: &'a str,
        details: &'a [(&'static str, String)],
    ) -> Self {
        let name = HashMap::from([("name", Variant::from(sender.as_str()))]);
        Self {
            authority,
            subject: ("system-bus-name", name),
            action,
            details,
            id: format!("mooring-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            open: AtomicBool::new(false),
        }
    }

    /// Asks, and waits as long as it takes.
    pub(super) async fn ask(&self, interactive: bool) -> zbus::Result<Answer> {
        let details = self.details.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let flags = if interactive {
            ALLOW_USER_INTERACTION
        } else {
            0
        };
        self.open.store(interactive, Ordering::Release);
        let answer = self
            .authority
            .check_authorization(&self.subject, self.action, details, flags, &self.id)
            .await;
        self.open.store(false, Ordering::Release);
        answer
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if !*self.open.get_mut() {
            return;
        }
        let (authority, id) = (self.authority.clone(), std::mem::take(&mut self.id));
        let cancel = async move {
            if let Err(error) = authority.cancel_check_authorization(&id).await {
                // Answered in this very moment, or polkit is gone, and its questions with it.
                tracing::debug!(%error, id, "a question was not taken back");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(cancel)),
            // The daemon ends, and polkit drops the questions of who leaves the bus.
            Err(error) => tracing::debug!(%error, "a question is left to the end of the daemon"),
        }
    }
}

/// Whoever made a call, for as long as it is on the bus.
pub(super) struct Caller(NameOwnerChangedStream, bool);

impl Caller {
    pub(super) async fn watch(
        connection: &Connection,
        sender: &UniqueName<'_>,
    ) -> zbus::Result<Self> {
        let bus = DBusProxy::new(connection).await?;
        // Listen first, look second: who leaves in between is told twice, not missed.
        let changes = bus
            .receive_name_owner_changed_with_args(&[(0, sender.as_str())])
            .await?;
        let here = bus.name_has_owner(BusName::Unique(sender.as_ref())).await?;
        Ok(Self(changes, here))
    }

    /// Waits until it is gone.
    pub(super) async fn left(mut self) {
        // A unique name changes its owner once: when it goes. The end of the stream is that of the
        // bus.
        if self.1 {
            let change = |cx: &mut std::task::Context<'_>| {
                std::pin::Pin::new(&mut self.0).poll_next(cx).map(drop)
            };
            std::future::poll_fn(change).await;
        }
    }
}
