//! The interface of an account that shows the other devices of its storage.

use mooring_api::{Device, Result};
use zbus::message::Header;
use zbus::{Connection, interface};

use super::{Shared, arguments};

/// The capability of an account to see the other devices that use its storage.
pub(super) struct DevicesObject {
    shared: Shared,
    id: String,
}

impl DevicesObject {
    pub(super) fn new(shared: Shared, id: &str) -> Self {
        Self {
            shared,
            id: id.to_owned(),
        }
    }
}

#[interface(name = "org.mooring1.Account.Devices", introspection_docs = false)]
impl DevicesObject {
    async fn list(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Device>> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        Ok(self.shared.broker.devices(&self.id).await?)
    }

    async fn sign_out(
        &self,
        device: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<String> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let device = arguments::sign_in_id(device)?;
        Ok(self.shared.broker.ask_device(&self.id, device).await?)
    }
}
