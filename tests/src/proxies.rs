//! The daemon as a program sees it: typed proxies on the private bus.

use mooring_api::{AccountProxy, BUS_NAME, FilesProxy, JobProxy, ManagerProxy, ROOT_PATH};
use tokio::time::timeout;
use zbus::fdo::ObjectManagerProxy;
use zbus::{Connection, ObjectPath, OwnedObjectPath};

use crate::PATIENCE;
use crate::bus::next;
use crate::world::World;

impl World {
    /// A new connection to the private bus.
    pub async fn connect(&self) -> Connection {
        self.bus().connect().await
    }

    /// The daemon as a whole.
    pub async fn manager(&self) -> ManagerProxy<'static> {
        ManagerProxy::new(&self.connect().await)
            .await
            .expect("the daemon")
    }

    /// The account of an identity, if there is one.
    pub async fn account(&self, identity: &str) -> Option<AccountProxy<'static>> {
        let connection = self.connect().await;
        for path in self.accounts(&connection).await {
            let account = AccountProxy::builder(&connection).path(path).build().await;
            let account = account.expect("an account");
            if account.identity().await.expect("its identity") == identity {
                return Some(account);
            }
        }
        None
    }

    /// The files of an identity's account, if there is one.
    pub async fn files(&self, identity: &str) -> Option<FilesProxy<'static>> {
        let account = self.account(identity).await?;
        let (connection, path) = (
            account.inner().connection(),
            account.inner().path().to_owned(),
        );
        Some(
            FilesProxy::builder(connection)
                .path(path)
                .build()
                .await
                .expect("its files"),
        )
    }

    /// A job.
    pub async fn job(&self, path: impl Into<OwnedObjectPath>) -> JobProxy<'static> {
        let connection = self.connect().await;
        JobProxy::builder(&connection)
            .path(path.into())
            .build()
            .await
            .expect("a job")
    }

    async fn accounts(&self, connection: &Connection) -> Vec<ObjectPath<'static>> {
        let objects = ObjectManagerProxy::builder(connection)
            .destination(BUS_NAME)
            .path(ROOT_PATH)
            .build()
            .await
            .expect("the object manager");
        let objects = objects.get_managed_objects().await.expect("the objects");
        objects
            .into_iter()
            .filter(|(_, interfaces)| {
                interfaces
                    .keys()
                    .any(|name| name.as_str() == "org.mooring1.Account")
            })
            .map(|(path, _)| path.into())
            .collect()
    }

    /// Waits until a job is in `state` (`running`, `blocked`, `finished`).
    ///
    /// # Panics
    /// When that does not come in time.
    pub async fn wait_for_job(&self, job: &JobProxy<'_>, state: &str) {
        let wait = async {
            let mut changes = job.receive_state_changed().await;
            while job.state().await.expect("a job's state") != state {
                next(&mut changes).await.expect("the bus stays");
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("the job never became {state}");
        }
    }
}
