//! What crosses between broker and worker, as bytes: either may be another program than it says.

use mooring_wire::reach::Reach;
use mooring_wire::{
    AccountSpec, Attached, BackupReport, CheckReport, CollectionFacts, ConflictCopy, Device,
    DeviceRequest, Diagnosis, DrainReport, EraseReport, Inspected, PlanFacts, Progress,
    RemoveReport, RestoreReport, SyncReport, VerifyReport, WhyReport,
};
use zbus::Message;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};

use crate::Target;

/// Targets by name.
pub const TARGETS: &[(&str, Target)] = &[("wire", wire), ("message", message), ("reach", reach)];

/// Reads bytes as each of the types; what is understood is written as it is understood.
macro_rules! each {
    ($bytes:expr, $chosen:expr, $($kind:ty),+ $(,)?) => {{
        let readers: &[fn(&[u8])] = &[$(
            |bytes| {
                let data = Data::new(bytes, Context::new(LE, 0));
                // How far it read is not asked: zbus counts padding that the end has cut off.
                let Ok((value, _)) = data.deserialize::<$kind>() else { return };
                let written = to_bytes(Context::new(LE, 0), &value).expect("a value that was read");
                let again = written.deserialize::<$kind>().expect("bytes that were written");
                assert_eq!(again.0, value);
            }
        ),+];
        readers[usize::from($chosen) % readers.len()]($bytes);
    }};
}

/// The first message to a worker: what is understood is written as it was understood.
fn reach(bytes: &[u8]) {
    let Ok(reach) = Reach::read_from(bytes) else {
        return;
    };
    let written = reach.to_bytes().expect("a list that was read");
    assert_eq!(Reach::read_from(written.as_slice()).expect("a list that was written"), reach);
}

fn wire(bytes: &[u8]) {
    let Some((chosen, body)) = bytes.split_first() else {
        return;
    };
    each!(
        body,
        *chosen,
        AccountSpec,
        Attached,
        BackupReport,
        CheckReport,
        CollectionFacts,
        Vec<CollectionFacts>,
        Vec<ConflictCopy>,
        Vec<Device>,
        Vec<DeviceRequest>,
        Vec<Diagnosis>,
        DrainReport,
        EraseReport,
        Inspected,
        PlanFacts,
        Progress,
        RemoveReport,
        RestoreReport,
        SyncReport,
        VerifyReport,
        WhyReport,
    );
}

/// A whole message, header and all, as the socket reader takes it.
fn message(bytes: &[u8]) {
    let data = Data::new(bytes.to_vec(), Context::new(LE, 0));
    // SAFETY: the bytes may be anything, which is the point: what comes of that is an answer or an
    // error, and nothing is done with the message but looking at it.
    let Ok(message) = (unsafe { Message::from_bytes(data) }) else {
        return;
    };
    let header = message.header();
    let _ = (
        header.member(),
        header.interface(),
        header.path(),
        header.sender(),
    );
    let _ = format!("{message:?}");
    let _ = message.body().deserialize::<zbus::Structure<'_>>();
}
