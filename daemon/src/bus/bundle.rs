//! The answer about a signed bundle of policy.

use mooring_api::BundleCheck;
use mooring_core::policy::bundle::{Bundle, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES};
use zbus::OwnedFd;

use super::manager::{expect_name, of_file};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::{rules, secret};

/// Reads and checks a bundle that was handed over.
pub(super) async fn check(
    broker: &Broker,
    name: &str,
    bundle: OwnedFd,
    signature: OwnedFd,
) -> Result<BundleCheck, Failure> {
    expect_name(name)?;
    let bundle = secret::read_document(bundle.into(), MAX_BUNDLE_BYTES).await?;
    let signature = secret::read_document(signature.into(), MAX_SIGNATURE_BYTES).await?;
    let folders = broker.folders.clone();
    let checked = {
        let name = name.to_owned();
        // A signature costs milliseconds, and so does reading a MiB of rules.
        let check = move || rules::check_bundle(&folders, &name, &bundle, &signature);
        tokio::task::spawn_blocking(check).await
    };
    let checked = checked.map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(match checked {
        Ok(bundle) => told(bundle),
        Err(problems) => BundleCheck {
            findings: problems.into_iter().map(|p| of_file(name, p)).collect(),
            ..BundleCheck::default()
        },
    })
}

fn told(bundle: Bundle) -> BundleCheck {
    BundleCheck {
        findings: Vec::new(),
        files: bundle.files.into_iter().map(|file| file.path).collect(),
        organisation: bundle.organisation,
        version: bundle.version,
        expires: bundle.expires,
        key: bundle.key,
    }
}
