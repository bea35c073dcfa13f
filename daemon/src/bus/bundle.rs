//! The answers about a signed bundle of policy.

use std::sync::Arc;

use mooring_api::{BundleCheck, PolicySimulation};
use mooring_core::policy::bundle::{Bundle, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES};
use mooring_core::policy::{Problem, Simulation};
use zbus::OwnedFd;

use super::manager::{expect_name, of_file, simulated_as_told};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::questions::Question;
use crate::{rules, secret};

/// Reads and checks a bundle that was handed over.
pub(super) async fn check(
    broker: &Broker,
    name: &str,
    bundle: OwnedFd,
    signature: OwnedFd,
) -> Result<BundleCheck, Failure> {
    expect_name(name)?;
    let (bundle, signature) = read(bundle, signature).await?;
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

/// Reads a bundle that was handed over, and what it would change.
pub(super) async fn simulate(
    broker: &Arc<Broker>,
    name: &str,
    bundle: OwnedFd,
    signature: OwnedFd,
) -> Result<PolicySimulation, Failure> {
    expect_name(name)?;
    let (bundle, signature) = read(bundle, signature).await?;
    let (file, broker) = (name.to_owned(), broker.clone());
    let simulate = move || {
        let (folders, now) = (&broker.folders, broker.clock.now());
        let next = rules::check_next_bundle(folders, &file, (&bundle, &signature), now)?;
        broker.simulate_bundle(next)
    };
    simulated(name, simulate).await
}

/// What a simulation answers. Many rules about many accounts are many decisions: others are served
/// meanwhile.
pub(super) async fn simulated(
    name: &str,
    simulate: impl FnOnce() -> Result<(Vec<Question>, Simulation), Vec<Problem>> + Send + 'static,
) -> Result<PolicySimulation, Failure> {
    let simulated = tokio::task::spawn_blocking(simulate).await;
    let simulated = simulated.map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(simulated_as_told(name, simulated))
}

async fn read(bundle: OwnedFd, signature: OwnedFd) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let bundle = secret::read_document(bundle.into(), MAX_BUNDLE_BYTES).await?;
    let signature = secret::read_document(signature.into(), MAX_SIGNATURE_BYTES).await?;
    Ok((bundle, signature))
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
