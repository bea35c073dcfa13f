//! Reads and writes secrets through file descriptors that a client passes.
//!
//! A secret comes in a pipe or in a sealed memfd, and nothing else is read: a file would leave it
//! on a disk, and an unsealed memfd could change or shrink under our eyes. The bus goes on
//! meanwhile, and nobody can hold us up for longer than [`TIMEOUT`].

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use mooring_api::{MAX_SECRET_BYTES, SECRET_TIMEOUT_SECONDS};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::stat::fstat;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// How long a secret may take to come, and a recovery code to go.
pub const TIMEOUT: Duration = Duration::from_secs(SECRET_TIMEOUT_SECONDS);

/// Documents that are read from files at a time. One whose file does not answer keeps its place until
/// it does; passwords are checked by other threads.
static DOCUMENTS: Semaphore = Semaphore::const_new(4);

/// Reads a secret; strips one newline at its end.
///
/// # Errors
/// [`Failure::InvalidArgument`] for a descriptor of another kind, one that is not readable, an
/// empty secret, one longer than [`MAX_SECRET_BYTES`], and one that has no end in time.
pub async fn read(what: &str, fd: OwnedFd) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = tokio::time::timeout(TIMEOUT, contents(fd, MAX_SECRET_BYTES)).await;
    let mut secret = match secret {
        Ok(Ok(secret)) => secret,
        Ok(Err(error)) => return Err(invalid(format!("the {what} cannot be read: {error}"))),
        Err(_) => {
            let seconds = TIMEOUT.as_secs();
            return Err(invalid(format!(
                "the {what} did not end within {seconds} seconds: close the writing end"
            )));
        }
    };
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    if secret.is_empty() {
        return Err(invalid(format!("the {what} is empty")));
    }
    Ok(secret)
}

/// Reads a document that is no secret, from a regular file, too; one byte more than `bound`, so
/// that the reader can tell.
///
/// # Errors
/// [`Failure::InvalidArgument`] for a descriptor of another kind, and when it does not end in time.
pub async fn read_document(fd: OwnedFd, bound: usize) -> Result<Vec<u8>, Failure> {
    let reading = async {
        if is_pipe(&fd) {
            expect_mode(&fd, OFlag::O_RDONLY, "this is the writing end of a pipe")?;
            return Ok(std::mem::take(&mut *read_pipe(fd, bound + 1).await?));
        }
        // What lies behind a file may be a server that does not answer, and whoever passed it chose
        // it: nothing but a thread of these few ever waits for it.
        let permit = DOCUMENTS.acquire().await.map_err(io::Error::other)?;
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let file = File::from(fd);
            if !file.metadata()?.is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "this is neither a regular file nor a pipe",
                ));
            }
            expect_mode(&file, OFlag::O_RDONLY, "this is open for writing only")?;
            let mut bytes = Vec::new();
            file.take(bound as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        reading.await.map_err(io::Error::other)?
    };
    match tokio::time::timeout(TIMEOUT, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(invalid(format!("the file cannot be read: {error}"))),
        Err(_) => Err(invalid("the file does not end in time".to_owned())),
    }
}

/// Writes a secret and a newline into the writing end of a pipe, and closes it.
///
/// # Errors
/// [`Failure::InvalidArgument`] when the descriptor is of another kind, when nobody reads, or not
/// in time. Whether a part was written is then unknown.
pub async fn write(what: &str, fd: OwnedFd, secret: &str) -> Result<(), Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
    line.extend_from_slice(secret.as_bytes());
    line.push(b'\n');
    match tokio::time::timeout(TIMEOUT, deliver(fd, &line)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(invalid(format!("the {what} cannot be written: {error}"))),
        Err(_) => Err(invalid(format!("nobody reads the {what}"))),
    }
}

async fn contents(fd: OwnedFd, bound: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    match kind(&fd)? {
        Kind::Pipe => {
            expect_mode(&fd, OFlag::O_RDONLY, "this is the writing end of a pipe")?;
            read_pipe(fd, bound).await
        }
        Kind::Sealed { size } => read_sealed(fd, size, bound),
    }
}

async fn read_pipe(fd: OwnedFd, bound: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut pipe = pipe::Receiver::from_owned_fd(fd)?;
    // Full size from the start: a growing buffer would leave copies behind.
    let mut buffer = Zeroizing::new(vec![0; bound + 1]);
    let mut length = 0;
    while length <= bound {
        match pipe.read(&mut buffer[length..]).await? {
            0 => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            count => length += count,
        }
    }
    Err(too_long(bound))
}

fn read_sealed(fd: OwnedFd, size: u64, bound: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= bound)
        .ok_or(too_long(bound))?;
    let mut buffer = Zeroizing::new(vec![0; size]);
    // By position: the client's own offset is its own business.
    File::from(fd).read_exact_at(&mut buffer, 0)?;
    Ok(buffer)
}

async fn deliver(fd: OwnedFd, line: &[u8]) -> io::Result<()> {
    let Kind::Pipe = kind(&fd)? else {
        return Err(wrong_kind());
    };
    expect_mode(&fd, OFlag::O_WRONLY, "this is the reading end of a pipe")?;
    pipe::Sender::from_owned_fd(fd)?.write_all(line).await
}

enum Kind {
    Pipe,
    Sealed { size: u64 },
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    if is_pipe(fd) {
        return Ok(Kind::Pipe);
    }
    let needed = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    // A file that is no memfd has no seals to ask for; only then is it looked at, in memory.
    let seals = fcntl(fd, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
    if !seals.is_ok_and(|seals| seals.contains(needed)) {
        return Err(wrong_kind());
    }
    let size = u64::try_from(fstat(fd)?.st_size).map_err(|_| wrong_kind())?;
    Ok(Kind::Sealed { size })
}

/// Whether it is a pipe: asked of the descriptor, and not of a filesystem that may not answer.
fn is_pipe(fd: &OwnedFd) -> bool {
    fcntl(fd, FcntlArg::F_GETPIPE_SZ).is_ok()
}

fn expect_mode(fd: impl AsFd, wanted: OFlag, complaint: &'static str) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    let mode = flags & OFlag::O_ACCMODE;
    if mode == wanted || mode == OFlag::O_RDWR {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, complaint))
    }
}

fn wrong_kind() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "this is neither a pipe nor a sealed memfd",
    )
}

fn too_long(bound: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is longer than {bound} bytes"),
    )
}

fn invalid(message: String) -> Failure {
    Failure::InvalidArgument(message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io::Write;
    use std::os::fd::AsFd;

    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::unistd::pipe;

    use super::*;

    fn memfd(content: &[u8], seals: SealFlag) -> OwnedFd {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create("secret", flags).unwrap());
        file.write_all(content).unwrap();
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
        file.into()
    }

    fn sealed(content: &[u8]) -> OwnedFd {
        memfd(
            content,
            SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW,
        )
    }

    fn piped(content: &[u8]) -> OwnedFd {
        let (reader, writer) = pipe().unwrap();
        File::from(writer).write_all(content).unwrap();
        reader
    }

    #[tokio::test]
    async fn one_newline_goes_and_the_rest_stays() {
        for (content, expected) in [
            (&b"secret"[..], &b"secret"[..]),
            (b"secret\n", b"secret"),
            (b"secret\n\n", b"secret\n"),
            (b" \xff\0 ", b" \xff\0 "),
            (&[b'x'; MAX_SECRET_BYTES], &[b'x'; MAX_SECRET_BYTES]),
        ] {
            assert_eq!(*read("password", sealed(content)).await.unwrap(), expected);
            assert_eq!(*read("password", piped(content)).await.unwrap(), expected);
        }
    }

    async fn refused(fd: OwnedFd) -> String {
        match read("password", fd).await {
            Err(Failure::InvalidArgument(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused() {
        assert!(refused(piped(b"")).await.contains("empty"));
        assert!(refused(piped(b"\n")).await.contains("empty"));
        assert!(refused(sealed(b"")).await.contains("empty"));
        assert!(
            refused(piped(&[b'x'; MAX_SECRET_BYTES + 1]))
                .await
                .contains("longer")
        );
        assert!(
            refused(sealed(&[b'x'; MAX_SECRET_BYTES + 1]))
                .await
                .contains("longer")
        );
        assert!(
            refused(memfd(b"x", SealFlag::F_SEAL_WRITE))
                .await
                .contains("neither")
        );
        assert!(refused(pipe().unwrap().1).await.contains("writing end"));
        assert!(
            refused(tempfile::tempfile().unwrap().into())
                .await
                .contains("neither")
        );
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(refused(socket.into()).await.contains("neither"));
        assert!(
            refused(File::open("/").unwrap().into())
                .await
                .contains("neither")
        );
        assert!(
            refused(File::open("/dev/zero").unwrap().into())
                .await
                .contains("neither")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_without_an_end_is_given_up() {
        let (reader, _writer) = pipe().unwrap();
        assert!(refused(reader).await.contains("within 5 seconds"));
    }

    #[tokio::test]
    async fn a_code_is_written_with_a_newline_and_the_pipe_is_closed() {
        let (reader, writer) = pipe().unwrap();
        write("recovery code", writer, "twelve words")
            .await
            .unwrap();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "twelve words\n");
    }

    #[tokio::test]
    async fn a_code_that_nobody_can_read_is_told() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert!(write("recovery code", writer, "words").await.is_err());
        assert!(
            write("recovery code", pipe().unwrap().0, "words")
                .await
                .is_err()
        );
        assert!(write("recovery code", sealed(b""), "words").await.is_err());
    }
}
