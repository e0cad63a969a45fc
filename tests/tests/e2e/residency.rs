//! Where a policy lets a request be answered: the plugin `residency` names legal areas, and nothing leaves them.

use forebay_tests::questions::matmul;
use forebay_tests::region::RegionFile;
use forebay_tests::{Answer, Gateway, GatewayFile, Place, assets, run};

const CACHED: &str = "access = \"public\"\npolicies = [\"residency\"]\ncache = { ttl_s = 60, scope = \"public\" }";
const SOURCES: &str = "[plugins.config]\n\
    sources = [{ header = \"x-data-region\", absent = \"allow\", areas = { eu = [\"eu\"], us = [\"us\"], ap = [\"ap\"] } }]";

async fn ask(gateway: &Gateway, prefix: &str, place: &str, bias: f32) -> Answer {
    gateway.client().infer(prefix, "matmul", &matmul(bias)).header("x-data-region", place).send().await
}

#[test]
fn a_policy_keeps_requests_in_their_areas() {
    run(async {
        let place = Place::new();
        let (eu, us) =
            (RegionFile::new("eu", "eu").start(&place).await, RegionFile::new("us", "us").start(&place).await);
        let component = assets::plugin("residency");
        let gateway = GatewayFile::new()
            .region("eu", &eu.url(), "eu")
            .region("us", &us.url(), "us")
            .plus(&format!(
                "[[plugins]]\nname = \"residency\"\ncomponent = {component:?}\ngrants = [\"http\", \"identity\"]\n\
                 deadline_ms = 1000\n{SOURCES}"
            ))
            .route("any", "", CACHED)
            .route("eu-only", "/eu", &format!("{CACHED}\njurisdictions = [\"eu\"]"))
            .origin("origin", "/origin/", "http://127.0.0.1:1", "access = \"public\"\npolicies = [\"residency\"]")
            .start(&place)
            .await;
        for bias in 0..4_u8 {
            assert_eq!(ask(&gateway, "", "eu", bias.into()).await.ok().region(), "eu");
            assert_eq!(ask(&gateway, "", "us", bias.into()).await.ok().region(), "us");
        }
        // This PoP is in the EU: copies are kept for what may stay there, and an answer from one area is not one for another.
        assert_eq!(ask(&gateway, "", "eu", 0.0).await.ok().cache(), "hit");
        assert_eq!(ask(&gateway, "", "us", 0.0).await.ok().region(), "us");
        assert_eq!((eu.answered("matmul").await, us.answered("matmul").await), (4, 5));

        // A policy narrows what a route allows and never widens it.
        assert_eq!(ask(&gateway, "/eu", "eu", 9.0).await.ok().region(), "eu");
        ask(&gateway, "/eu", "us", 9.0).await.refused(503, "no-region");
        ask(&gateway, "", "ap", 9.0).await.refused(503, "no-region");
        ask(&gateway, "", "moon", 9.0).await.refused(403, "forbidden");
        assert_eq!((eu.answered("matmul").await, us.answered("matmul").await), (5, 5));

        // Nobody knows where an origin is.
        let client = gateway.client();
        client.get("/origin/x").header("x-data-region", "eu").send().await.refused(503, "no-region");
        client.get("/origin/x").send().await.refused(502, "bad-gateway");
    });
}
