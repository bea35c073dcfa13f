//! `org.freedesktop.DBus.Introspectable` where objects of several people are side by side: to
//! everybody the names of their own. zbus would list everybody's to everybody.

use std::fmt::Write;
use std::sync::Arc;

use mooring_api::{ACCOUNTS_PATH, INTROSPECTION, JOBS_PATH, ROOT_PATH};
use zbus::message::Header;
use zbus::object_server::Interface;
use zbus::{Connection, ObjectServer, fdo, interface};

use super::objects::{Site, denied};
use super::persons::Persons;

/// Every path above objects, with what lies directly below it; none where that is people's.
const ABOVE: [(&str, &[&str]); 5] = [
    ("/", &["org"]),
    ("/org", &["mooring1"]),
    (ROOT_PATH, &["accounts", "jobs"]),
    (ACCOUNTS_PATH, &[]),
    (JOBS_PATH, &[]),
];
/// What the object of the daemon as a whole has besides what is ours.
const STANDARD: &str = r#"<interface name="org.freedesktop.DBus.ObjectManager">
<method name="GetManagedObjects"><arg type="a{oa{sa{sv}}}" direction="out"/></method>
<signal name="InterfacesAdded"><arg type="o"/><arg type="a{sa{sv}}"/></signal>
<signal name="InterfacesRemoved"><arg type="o"/><arg type="as"/></signal>
</interface>
<interface name="org.freedesktop.DBus.Properties">
<method name="Get"><arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="out"/></method>
<method name="GetAll"><arg type="s" direction="in"/><arg type="a{sv}" direction="out"/></method>
<signal name="PropertiesChanged"><arg type="s"/><arg type="a{sv}"/><arg type="as"/></signal>
</interface>
"#;

/// What lies below one path.
struct Map {
    persons: Arc<Persons>,
    path: &'static str,
    below: &'static [&'static str],
}

#[interface(
    name = "org.freedesktop.DBus.Introspectable",
    introspection_docs = false
)]
impl Map {
    async fn introspect(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<String> {
        let seen = self.persons.seen_by(&header, connection).await;
        let mut names: Vec<String> = self.below.iter().map(|name| (*name).to_owned()).collect();
        for shared in seen.map_err(denied)? {
            let published = shared.published();
            match self.path {
                ACCOUNTS_PATH => names.extend(published.accounts.keys().cloned()),
                JOBS_PATH => names.extend(published.jobs.keys().map(u64::to_string)),
                _ => {}
            }
        }
        let own = if self.path == ROOT_PATH {
            [manager(), STANDARD].concat()
        } else {
            String::new()
        };
        Ok(document(&own, &names))
    }
}

/// The daemon's own interface, out of its document.
fn manager() -> &'static str {
    let xml = INTROSPECTION
        .iter()
        .find(|(name, _)| *name == "org.mooring1.Manager")
        .map_or("", |(_, xml)| *xml);
    let end = "</interface>";
    match (xml.find("<interface"), xml.rfind(end)) {
        (Some(from), Some(to)) => &xml[from..to + end.len()],
        _ => "",
    }
}

fn document(interfaces: &str, names: &[String]) -> String {
    let mut xml = format!(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n{interfaces}\n"
    );
    for name in names {
        // IDs and numbers are letters and digits. Writing to a text does not fail.
        let _ = writeln!(xml, "<node name=\"{name}\"/>");
    }
    xml + "</node>\n"
}

/// Puts the map in the place of zbus's, which lists all, on every path above objects.
pub(super) async fn put_up(server: &ObjectServer, persons: &Arc<Persons>) -> zbus::Result<()> {
    for (path, below) in ABOVE {
        // It stays also while nothing is below it.
        server.at(path, Site).await?;
        server.remove_named(path, Map::name()).await?;
        let map = Map {
            persons: persons.clone(),
            path,
            below,
        };
        server.at(path, map).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_the_daemon_is_its_whole_interface() {
        let own = manager();
        assert!(own.starts_with("<interface name=\"org.mooring1.Manager\">"));
        assert!(own.contains("\"SignIn\"") && own.ends_with("</interface>"));
        let xml = document(own, &["1".to_owned()]);
        assert!(xml.contains("<node name=\"1\"/>\n</node>"));
    }
}
