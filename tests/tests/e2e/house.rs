//! One gateway before two regions with the real models, shared by the tests that do not disturb it: loading a model
//! takes a second.

use forebay_tests::region::RegionFile;
use forebay_tests::{Gateway, GatewayFile, Place, Region, Token};
use tokio::sync::OnceCell;

/// Bytes that a body may have on the route `small`.
pub(crate) const SMALL_BODY_BYTES: usize = 4096;

/// The shared nodes.
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) eu: Region,
    #[expect(dead_code, reason = "held while the gateway watches it")]
    us: Region,
    #[expect(dead_code, reason = "holds the files")]
    place: Place,
}

static HOUSE: OnceCell<House> = OnceCell::const_new();

/// The shared nodes, started by whoever comes first. Routes: `infer` at `/` (token, cache), `shared` at
/// `/shared` (token, cache for everybody), `brief` at `/brief` (token, cache for a second), `open` at `/open` (public, no cache), `small` at `/small` (public, small bodies), `quick` at `/quick` (public, little time), `narrow` at `/narrow`
/// (public, only the model `matmul`).
pub(crate) async fn house() -> &'static House {
    HOUSE.get_or_init(start).await
}

async fn start() -> House {
    let place = Place::new();
    let (eu, us) = (RegionFile::new("eu-west", "eu").real_models(), RegionFile::new("us-east", "us").real_models());
    let (eu, us) = tokio::join!(eu.start(&place), us.start(&place));
    let gateway = GatewayFile::new()
        .region("eu-west", &eu.url(), "eu")
        .far_region("us-east", &us.url(), "us")
        .route("infer", "", "policies = [\"access\"]\ncache = { ttl_s = 300 }")
        .route("shared", "/shared", "policies = [\"access\"]\ncache = { ttl_s = 300, scope = \"public\" }")
        .route("brief", "/brief", "policies = [\"access\"]\ncache = { ttl_s = 1 }")
        .route("open", "/open", "access = \"public\"")
        .route("small", "/small", &format!("access = \"public\"\nbody_bytes = {SMALL_BODY_BYTES}"))
        .route("quick", "/quick", "access = \"public\"\nrequest_ms = 300")
        .route("narrow", "/narrow", "access = \"public\"\nmodels = [\"matmul\"]")
        .start(&place)
        .await;
    House { gateway, eu, us, place }
}

/// A good token of the tenant `acme`.
pub(crate) fn acme() -> String {
    Token::of("acme").signed()
}
