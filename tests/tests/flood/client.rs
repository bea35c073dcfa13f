//! A client without manners: bytes on the socket of the bus, written as they come, read when it
//! pleases.

use std::cell::Cell;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use mooring_tests::World;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use zbus::Message;
use zbus::export::serde::Serialize;

/// Where the serial number lies in a message (D-Bus specification, "Message Format").
const SERIAL: std::ops::Range<usize> = 8..12;

/// A connection that is authenticated and has said hello.
pub struct Raw {
    stream: UnixStream,
    serial: u32,
    /// Whether somebody else reads from it, who has to be told of the end.
    shut: Cell<bool>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.shut.get() {
            self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}

impl Raw {
    /// Connects, as the D-Bus specification says ("Authentication Protocol").
    pub fn connect(world: &World) -> Self {
        let address = world.bus().address();
        let path = address
            .split(',')
            .find_map(|part| part.strip_prefix("unix:path="));
        let mut stream = UnixStream::connect(path.expect("a socket")).unwrap();
        let uid: String = nix::unistd::getuid()
            .to_string()
            .bytes()
            .map(|b| format!("{b:02x}"))
            .collect();
        write!(
            stream,
            "\0AUTH EXTERNAL {uid}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
        )
        .unwrap();
        let mut client = Self {
            stream,
            serial: 0,
            shut: Cell::new(false),
        };
        client.line("OK");
        client.line("AGREE_UNIX_FD");
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello")
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .build(&())
            .unwrap();
        client.send(hello.data().bytes());
        // One byte of the answer: from now on it has a name.
        client.stream.read_exact(&mut [0]).unwrap();
        client
    }

    fn line(&mut self, begins: &str) {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        assert!(line.starts_with(begins), "{line}");
    }

    /// Writes a message, under a serial number of its own: the bus drops calls that have another's.
    /// Waits while the bus takes nothing.
    pub fn send(&mut self, message: &[u8]) {
        let message = self.numbered(message);
        self.stream.write_all(&message).unwrap();
    }

    /// The same with descriptors, which go with its first byte.
    pub fn send_with(&mut self, message: &[u8], fds: &[RawFd]) {
        let message = self.numbered(message);
        let control = [ControlMessage::ScmRights(fds)];
        let parts = [IoSlice::new(&message)];
        let to = self.stream.as_raw_fd();
        let sent = sendmsg::<()>(to, &parts, &control, MsgFlags::empty(), None).unwrap();
        self.stream.write_all(&message[sent..]).unwrap();
    }

    /// Reads whatever comes, on a thread of its own, until this connection is dropped.
    pub fn read_on(&self) -> JoinHandle<()> {
        let mut stream = self.stream.try_clone().unwrap();
        self.shut.set(true);
        std::thread::spawn(move || while stream.read(&mut [0; 65_536]).unwrap() > 0 {})
    }

    fn numbered(&mut self, message: &[u8]) -> Vec<u8> {
        self.serial += 1;
        let mut message = message.to_vec();
        message[SERIAL].copy_from_slice(&self.serial.to_le_bytes());
        message
    }
}

/// A call to the daemon as a whole.
pub fn call<B>(member: &str, body: &B) -> Message
where
    B: Serialize + zbus::DynamicType,
{
    at(mooring_api::ROOT_PATH, "org.mooring1.Manager", member, body)
}

/// A call to any of the daemon's objects.
pub fn at<B>(path: &str, interface: &str, member: &str, body: &B) -> Message
where
    B: Serialize + zbus::DynamicType,
{
    Message::method_call(path, member)
        .destination(mooring_api::BUS_NAME)
        .interface(interface)
        .build(body)
        .unwrap()
}
