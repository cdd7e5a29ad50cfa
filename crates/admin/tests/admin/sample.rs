//! A node that says what the tests ask for.

use super::*;

pub(super) fn fact_used() -> FactUsed {
    FactUsed {
        at_ms: 1,
        key: None,
        age_ms: None,
        present: false,
        outcome: "absent: nothing was pushed for it".into(),
        code: Some("LG-F001".into()),
    }
}

/// A node that knows one of everything.
pub(super) struct Sample;

pub(super) fn fault(status: StatusCode) -> Fault {
    Fault::new(status, "LG-D003", "nothing waits under this id", "list what waits")
}

pub(super) fn posture() -> Posture {
    Posture {
        protocol: "TLSv1.3".into(),
        group: "X25519MLKEM768".into(),
        provider: "aws-lc-rs".into(),
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        peer_signature: None,
        own_signature: Some("MLDSA65-Ed25519-SHA512".into()),
        resumed: false,
        hello_retry: false,
        handshake_us: 900,
        bytes_in: 1500,
        bytes_out: 7000,
        epoch: 1,
        profile: "pq-hybrid@20261122".into(),
    }
}

pub(super) fn sample_invite() -> Invite {
    Invite {
        id: "4f".into(),
        name: "laptop".into(),
        agent: "spiffe://lockgate.local/agent/laptop".into(),
        expires_at_ms: 1_795_356_000_000,
        used_at_ms: None,
    }
}

pub(super) fn held_call(id: &str, state: &str) -> HeldCall {
    HeldCall {
        id: id.into(),
        state: state.into(),
        agent: "spiffe://lockgate.local/agent/a".into(),
        server: "crm".into(),
        method: "tools/call".into(),
        name: Some("pay".into()),
        arguments: Some("{}".into()),
        beside: Vec::new(),
        policies: vec!["p".into()],
        reason: "it needs an approval".into(),
        since_ms: 1,
        until_ms: 2,
        by: None,
        rejection: None,
    }
}

pub(super) fn migration() -> Migration {
    let waiting = vec![Waiting { agent: "spiffe://lockgate.local/agent/a".into(), links: 2, told: true }];
    Migration { epoch: 2, to_move: 3, moved: 1, waiting, ..Migration::default() }
}

/// A change that tells what was asked for.
pub(super) fn change(what: String) -> Change {
    Change {
        epoch: 2,
        epoch_before: 1,
        what,
        by: "ann".into(),
        before: Vec::new(),
        after: vec!["listener tunnel".into()],
        ban: None,
        until_ms: None,
        migration: migration(),
    }
}

pub(super) fn empty_plan(profile: &str) -> Plan {
    Plan {
        epoch: 1,
        profile: profile.into(),
        places: Vec::new(),
        links: Vec::new(),
        peers: Vec::new(),
        certificates: Vec::new(),
        costs: Vec::new(),
        stays: 0,
        moves: 0,
        refused: 0,
    }
}

impl Subjects for Sample {
    fn erase(&self, request: &EraseRequest) -> Result<ErasedView, Fault> {
        match request.subject.as_str() {
            "patient:held" => Err(Fault::new(StatusCode::CONFLICT, "LG-A007", "hold h1 keeps it", "lift it")),
            _ => Ok(ErasedView { id: Some("e1".into()), receipt: Some(7), keys: 2, scope: Vec::new() }),
        }
    }

    fn export(&self, _: &ExportRequest) -> Result<KnownView, Fault> {
        Ok(KnownView { pseudonyms: vec![("ab".into(), "2026-11".into())], receipt: 8 })
    }

    fn holds(&self) -> Result<Holds, Fault> {
        Ok(Holds { holds: Vec::new() })
    }

    fn hold(&self, request: &HoldRequest) -> Result<HoldView, Fault> {
        let (reason, by) = (request.reason.clone(), request.by.clone());
        Ok(HoldView { id: "h1".into(), kind: None, reason, by, since_ms: 1 })
    }

    fn lift(&self, id: &str, request: &LiftHoldRequest) -> Result<HoldView, Fault> {
        let (reason, by) = (request.reason.clone(), request.by.clone());
        Ok(HoldView { id: id.into(), kind: None, reason, by, since_ms: 1 })
    }

    fn retention(&self) -> Result<RetentionView, Fault> {
        Ok(RetentionView { parts: Vec::new() })
    }

    fn retain(&self) -> Result<RetentionView, Fault> {
        Ok(RetentionView { parts: Vec::new() })
    }
}

impl Node for Sample {
    fn subjects(&self) -> &dyn Subjects {
        self
    }

    fn ready(&self) -> Result<(), Fault> {
        Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-A002", "the audit log is full", "make room"))
    }

    fn metrics(&self) -> String {
        "# TYPE lockgate_links gauge\nlockgate_links 1\n# EOF\n".into()
    }

    fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            node: "spiffe://lockgate.local/node/a".into(),
            since_ms: 1,
            draining: false,
            listeners: vec![Listener {
                name: "tunnel".into(),
                url: "https://127.0.0.1:8443".into(),
                profile: Some("pq-hybrid@20261122".into()),
            }],
            epoch: 1,
            links_below_epoch: 0,
            bans: Vec::new(),
            endings: Vec::new(),
            migration: Some(migration()),
            authority: "ab".into(),
            policy_generation: 1,
            lost_forbids: Vec::new(),
            policies: 3,
            links: 1,
            links_quantum_safe: 1,
            sessions: 0,
            calls_in_flight: 0,
            upstreams: 1,
            upstreams_failing: 0,
            threats: 1,
            write: false,
            audit: AuditView { seq: 7, head_hash: "cd".into(), problem: None, checkpoint: None },
        }
    }

    fn dashboard_writes(&self) -> bool {
        false
    }

    fn live(&self) -> Arc<Recent> {
        Arc::new(Recent::new(7))
    }

    fn links(&self) -> Links {
        let posture = posture();
        let quantum_safe = Some(posture.quantum_safe());
        let (listener, agent) = ("tunnel".into(), "local-user".into());
        let link = Link {
            number: 1,
            listener,
            peer: None,
            agent,
            since_ms: 2,
            calls: 3,
            posture: Some(posture),
            quantum_safe,
            weakest: None,
            expires_at_ms: None,
            epoch: Some(1),
        };
        Links { links: vec![link] }
    }

    fn upstreams(&self) -> Upstreams {
        let upstream = Upstream {
            id: "sample".into(),
            address: "stdio:sample".into(),
            circuit: "closed".into(),
            retry_ms: None,
            last_error: None,
            children: Some(1),
            links: Vec::new(),
        };
        Upstreams { upstreams: vec![upstream] }
    }

    fn invite(&self, request: NewInvite) -> Result<MintedInvite, Fault> {
        let code = format!("lg1.{}.{:?}", request.name, request.lifetime_s);
        Ok(MintedInvite { invite: sample_invite(), code })
    }

    fn invites(&self) -> Result<Invites, Fault> {
        Ok(Invites { invites: vec![sample_invite()] })
    }

    fn revoke_invite(&self, id: &str) -> Result<(), Fault> {
        match id {
            "4f/../é" => Ok(()),
            _ => Err(fault(StatusCode::NOT_FOUND)),
        }
    }

    fn identities(&self) -> Result<Identities, Fault> {
        Ok(Identities { agents: Vec::new(), invites: vec![sample_invite()], revocations: Vec::new() })
    }

    fn revoke(&self, request: &RevokeRequest) -> Result<MadeRevocation, Fault> {
        let revocation = RevocationView {
            target: request.target.clone(),
            by: request.by.clone(),
            reason: request.reason.clone(),
            since_ms: 1,
            until_ms: request.lifetime_s,
            along_with: None,
        };
        Ok(MadeRevocation { revocation, is_new: true, links_cut: 2 })
    }

    fn restore(&self, _: &RestoreRequest) -> Result<Restored, Fault> {
        Err(fault(StatusCode::NOT_FOUND))
    }

    fn held_calls(&self) -> HeldCalls {
        HeldCalls { calls: vec![held_call("h1", "pending")] }
    }

    fn held_call(&self, id: &str) -> Result<HeldCall, Fault> {
        if id == "h1" { Ok(held_call(id, "pending")) } else { Err(fault(StatusCode::NOT_FOUND)) }
    }

    fn approve_call(&self, id: &str, request: &ApproveRequest) -> Result<HeldCall, Fault> {
        Ok(HeldCall { by: Some(request.by.clone()), ..held_call(id, "approved") })
    }

    fn reject_call(&self, id: &str, request: &RejectRequest) -> Result<HeldCall, Fault> {
        Ok(HeldCall { rejection: Some(request.reason.clone()), ..held_call(id, "rejected") })
    }

    fn enrol_local(&self, request: Csr) -> Result<Certificate, Fault> {
        let id = "spiffe://lockgate.local/agent/local".into();
        Ok(Certificate { id, certificate: request.csr, authority: "roots".into(), not_after_ms: 9 })
    }

    fn pins(&self) -> Result<lockgate_admin::Pins, Fault> {
        Ok(lockgate_admin::Pins { pins: Vec::new() })
    }

    fn threats(&self) -> Threats {
        Threats {
            threats: vec![Threat {
                id: "77".into(),
                server: "sample".into(),
                tool: "echo".into(),
                old_hash: None,
                new_hash: "ee".into(),
                changes: Vec::new(),
                findings: Vec::new(),
                definition: "{}".into(),
                first_seen_ms: 4,
                classes: Vec::new(),
            }],
            suppressions: Vec::new(),
        }
    }

    fn suppress(&self, request: &SuppressRequest) -> Result<SuppressionView, Fault> {
        let SuppressRequest { finding, server, subject, reason, by, until_ms } = request.clone();
        Ok(SuppressionView { id: "s1".into(), finding, server, subject, reason, by, since_ms: 0, until_ms })
    }

    fn unsuppress(&self, _id: &str) -> Result<SuppressionView, Fault> {
        Err(fault(StatusCode::NOT_FOUND))
    }

    fn approve_threat(&self, id: &str) -> Result<Approval, Fault> {
        match id {
            "77" => Ok(Approval {
                id: id.into(),
                server: "sample".into(),
                tool: "echo".into(),
                hash: "ee".into(),
            }),
            _ => Err(fault(StatusCode::NOT_FOUND)),
        }
    }

    fn audit_tail(&self, count: usize) -> Result<Vec<String>, Fault> {
        let lines = [r#"{"seq":1, "x":1.50}"#, "damaged"];
        Ok(lines.iter().map(|line| (*line).to_owned()).take(count).collect())
    }

    fn audit_proof(&self, seq: u64) -> Result<String, Fault> {
        Ok(format!("c2sp.org/tlog-proof@v1\nindex {seq}\n"))
    }

    fn audit_query(
        &self,
        question: &lockgate_admin::AuditQuestion,
    ) -> Result<lockgate_admin::AuditFound, Fault> {
        let shown = serde_json::json!({"agent": question.agent, "limit": question.limit});
        Ok(lockgate_admin::AuditFound {
            records: vec![serde_json::value::to_raw_value(&shown).expect("JSON")],
            next_before: Some(7),
            is_late: false,
            read: 1,
            unindexed: 0,
            unreadable: 0,
            damaged: Vec::new(),
        })
    }

    fn reload(&self) -> Result<Reloaded, Fault> {
        panic!("a mistake in the node");
    }

    fn drain(&self) -> Draining {
        Draining { links: 1, calls_in_flight: 0, drain_s_max: 30 }
    }

    fn crypto(&self) -> CryptoShow {
        CryptoShow {
            epoch: 1,
            places: Vec::new(),
            peers: Vec::new(),
            bans: Vec::new(),
            endings: Vec::new(),
            document: None,
            rollback: Some("x".into()),
            migration: migration(),
        }
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Fault> {
        Ok(empty_plan(&request.profile))
    }

    fn apply(&self, request: &ApplyRequest) -> Result<Change, Fault> {
        if !request.cut_off {
            let message = "1 of 1 peers would be cut off";
            return Err(Fault::new(StatusCode::CONFLICT, "LG-K003", message, "see who"));
        }
        Ok(change(format!("{} {:?}", request.profile, request.scope.listeners)))
    }

    fn rollback(&self, request: &RollbackRequest) -> Result<Change, Fault> {
        Ok(change(format!("{:?}", request.drain_s)))
    }

    fn ban(&self, request: &BanRequest) -> Result<Change, Fault> {
        Ok(change(format!("{} {} {}", request.target, request.now, request.keep_hybrids)))
    }

    fn lift(&self, request: &LiftRequest) -> Result<Change, Fault> {
        Ok(change(request.target.clone()))
    }

    fn migration(&self) -> Migration {
        migration()
    }

    fn drill(&self, request: &DrillRequest) -> Result<Drill, Fault> {
        Ok(Drill {
            drill: request.drill.clone(),
            profile: "x@1".into(),
            live: request.live,
            plan: empty_plan("x@1"),
            steps: Vec::new(),
            change: None,
        })
    }

    fn inventory(&self, format: InventoryFormat) -> Result<String, Fault> {
        Ok(format!(r#"{{"form":"{}","x":1.50}}"#, format.name()))
    }

    fn rotate_root(&self, request: &RotateRootRequest) -> Result<RotatedRoot, Fault> {
        Ok(RotatedRoot {
            algorithm: request.algorithm.clone(),
            old_retires_at_ms: request.overlap_s,
            fingerprint: "ab".into(),
            bundle_sequence: 2,
            epoch: 3,
        })
    }

    fn discovery(&self) -> Result<Option<String>, Fault> {
        Ok(Some(r#"{"schema":"lockgate.discovery/1"}"#.to_owned()))
    }

    fn exports(&self) -> lockgate_admin::Exports {
        lockgate_admin::Exports { exports: Vec::new(), telemetry: Vec::new() }
    }

    fn facts(&self) -> Facts {
        let fact = FactView {
            name: "staff".into(),
            from: "push".into(),
            key: None,
            max_age_ms: 60_000,
            deadline_ms: 50,
            known: 1,
            failures: 0,
            resting: false,
            last: Some(fact_used()),
        };
        Facts { facts: vec![fact] }
    }

    fn ask_fact(&self, question: &FactQuestion) -> Result<FactAnswer, Fault> {
        match question.name.as_str() {
            "staff" => Ok(FactAnswer { name: "staff".into(), used: fact_used(), record: None }),
            _ => Err(Fault::new(StatusCode::NOT_FOUND, "LG-F007", "there is no such fact", "")),
        }
    }

    fn push_fact(&self, signed: &str) -> Result<FactReceipt, Fault> {
        match signed {
            // White space and all: the signature is over what was sent.
            r#"{"a": 1,"a":2}"# => Ok(FactReceipt {
                fact: "staff".into(),
                key: None,
                issued_ms: 1,
                until_ms: 2,
                withdrawn: false,
            }),
            _ => Err(Fault::new(StatusCode::FORBIDDEN, "LG-F005", "the signature does not match", "")),
        }
    }
}
