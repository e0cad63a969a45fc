//! The demo's addresses, all on loopback.

/// One port for each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) gateway: u16,
    pub(super) admin: u16,
    pub(super) eu_west: u16,
    pub(super) us_east: u16,
}

impl Ports {
    /// The usual ports, or four in a row from `base`.
    pub(super) fn of(base: Option<u16>) -> Result<Self, String> {
        let Some(base) = base else {
            return Ok(Self { gateway: 8443, admin: 9901, eu_west: 9001, us_east: 9002 });
        };
        let port = |offset: u16| {
            base.checked_add(offset)
                .filter(|_| base > 0)
                .ok_or_else(|| "--port-base: must be from 1 to 65532".to_owned())
        };
        Ok(Self { gateway: port(0)?, admin: port(1)?, eu_west: port(2)?, us_east: port(3)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_in_a_row() {
        let ports = Ports::of(Some(20_000));
        assert_eq!(ports, Ok(Ports { gateway: 20_000, admin: 20_001, eu_west: 20_002, us_east: 20_003 }));
        assert!(Ports::of(Some(65_533)).is_err() && Ports::of(Some(0)).is_err());
    }
}
