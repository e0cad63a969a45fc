//! Names to addresses, without those that mean this machine.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// The system's resolver. A name gives no address of this machine or of its link, unless it is `localhost`.
#[derive(Clone)]
pub(crate) struct Outward(GaiResolver);

impl Default for Outward {
    fn default() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Outward {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_local = name.as_str().eq_ignore_ascii_case("localhost");
        let found = self.0.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                found.await?.filter(|address| is_local || !is_of_this_machine(address.ip())).collect();
            if found.is_empty() {
                return Err(io::Error::other("the name gives no address that may be connected to by name"));
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether an address means this machine, everything on its link, or nothing.
pub(super) fn is_of_this_machine(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first == 0 || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast(),
    }
}
