//! How many calls of the public bus may wait inside the daemon, whoever makes them and whatever
//! they ask for.
//!
//! zbus makes a task of each call, keeps the message for it, and reads on. While the bus takes no
//! answers, calls would pile up here without end. So the connection runs on a runtime that counts
//! its tasks: from [`MAX_TASKS`] on nothing more is read, and what comes waits in the bus, which
//! bounds it for each of its clients. The tasks read nothing to end but the answers of the bus, and
//! what waits for those has a place at the gate, of which there are fewer ([`MAX_CALLS`]): so they
//! always get below the bound.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use zbus::runtime::{Interest, IoSource, traits};

use super::gate::calls::MAX_CALLS;

/// The most tasks of the connection at which more is read: twice what may wait for the bus, as
/// those that are refused need a moment as well.
pub const MAX_TASKS: usize = 2 * MAX_CALLS;

/// Tokio's current runtime, for a connection that reads no more than it can answer.
#[derive(Debug, Clone, Default)]
pub struct Paced(Arc<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    open: AtomicUsize,
    /// Whoever wants to read.
    reader: Mutex<Option<Waker>>,
}

impl Tasks {
    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::AcqRel);
        Open(self.clone())
    }

    fn are_many(&self) -> bool {
        self.open.load(Ordering::Acquire) >= MAX_TASKS
    }

    /// Ready while more may be read.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.are_many() {
            return Poll::Ready(());
        }
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        *reader = Some(cx.waker().clone());
        // One may have ended before the waker was there.
        if self.are_many() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

/// A task that has not ended yet.
#[derive(Debug)]
struct Open(Arc<Tasks>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) > MAX_TASKS {
            return;
        }
        let reader = self
            .0
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A task, which is aborted when this is dropped.
#[derive(Debug)]
pub struct Task<T> {
    handle: JoinHandle<T>,
    kept: bool,
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.kept {
            self.handle.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle)
            .poll(cx)
            .map_err(io::Error::other)
    }
}

impl<T: Send + 'static> traits::TaskHandle<T> for Task<T> {
    fn detach(mut self) {
        self.kept = true;
    }
}

/// A socket that is watched.
#[derive(Debug)]
pub struct Watched {
    /// A duplicate of the connection's own descriptor, to be told when that one is ready.
    ready: UnixStream,
    tasks: Arc<Tasks>,
}

impl traits::PollIo for Watched {
    fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let interest = match interest {
                Interest::Readable => {
                    ready!(self.tasks.poll_room(cx));
                    ready!(self.ready.poll_read_ready(cx))?;
                    tokio::io::Interest::READABLE
                }
                Interest::Writable => {
                    ready!(self.ready.poll_write_ready(cx))?;
                    tokio::io::Interest::WRITABLE
                }
                _ => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            };
            match self.ready.try_io(interest, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl traits::Runtime for Paced {
    type RegisteredIoSource = Watched;
    type Sleep = tokio::time::Sleep;
    type Task<T>
        = Task<T>
    where
        T: Send + 'static;

    fn register_io_source(&self, source: IoSource) -> io::Result<Watched> {
        let ready = source.as_fd().try_clone_to_owned()?;
        Ok(Watched {
            ready: UnixStream::from_std(ready.into())?,
            tasks: self.0.clone(),
        })
    }

    fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }

    fn spawn<T>(&self, _name: &str, future: impl Future<Output = T> + Send + 'static) -> Task<T>
    where
        T: Send + 'static,
    {
        let open = self.0.begin();
        let handle = tokio::spawn(async move {
            let _open = open;
            future.await
        });
        Task {
            handle,
            kept: false,
        }
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<IoSource> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        Ok(OwnedFd::from(stream.into_std()?).into())
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<IoSource> {
        let stream = UnixStream::connect(path).await?;
        Ok(OwnedFd::from(stream.into_std()?).into())
    }

    /// Only for buses behind a helper process, which are not asked for.
    fn spawn_process(
        &self,
        _command: Command,
        _stdin: Stdio,
        _stdout: Stdio,
        _stderr: Stdio,
    ) -> io::Result<Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send + 'static>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use zbus::runtime::traits::{PollIo, Runtime, TaskHandle};

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_while_too_many_wait_and_again_once_one_ends() {
        let paced = Paced::default();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = ours.try_clone().unwrap();
        let watched = paced
            .register_io_source(OwnedFd::from(ours).into())
            .unwrap();
        io::Write::write_all(&mut theirs, b"a").unwrap();
        let tasks: Vec<_> = (0..MAX_TASKS)
            .map(|_| paced.spawn("waits", std::future::pending::<()>()))
            .collect();
        let mut tasks = tasks.into_iter();
        let mut read = read_one(&watched, &reader);
        assert!(is_pending(&mut read).await, "read on");
        drop(tasks.next());
        assert_eq!(read.await.unwrap(), 1);
        // One that is let go of is not forgotten.
        paced.spawn("waits", std::future::pending::<()>()).detach();
        let mut read = read_one(&watched, &reader);
        io::Write::write_all(&mut theirs, b"b").unwrap();
        assert!(is_pending(&mut read).await, "read on");
        drop(tasks);
        assert_eq!(read.await.unwrap(), 1);
    }

    fn read_one<'a>(
        watched: &'a Watched,
        mut reader: &'a std::os::unix::net::UnixStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<usize>> + 'a>> {
        let mut byte = [0];
        Box::pin(std::future::poll_fn(move |cx| {
            let read = || io::Read::read(&mut reader, &mut byte);
            watched.poll_io(cx, Interest::Readable, read)
        }))
    }

    /// Whether it waits, although everything else has had its turn.
    async fn is_pending(read: &mut (impl Future<Output = io::Result<usize>> + Unpin)) -> bool {
        let first =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *read).poll(cx).is_pending()));
        let first = first.await;
        tokio::task::yield_now().await;
        let again =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *read).poll(cx).is_pending()));
        first && again.await
    }
}
