//! The examples at the end of each verb's help. Lines stay within 98 letters, so that nothing folds them.

pub(super) const TOP: &str = "\
Start here:
  lockgate up             everything at once, with a sample server
  lockgate gateway --to 'stdio:npx -y @modelcontextprotocol/server-filesystem .'
  lockgate connect https://HOST:8443/servers/NAME/mcp      as the command of an MCP client

Exit codes: 0 ok, 1 negative answer, 2 usage, 3 configuration, 4 unreachable,
            5 refused by crypto policy, 70 a mistake in Lockgate
Every error has a code; `lockgate explain CODE` explains it, offline.";

pub(super) const UP: &str = "\
Examples:
  lockgate up                           gateway on 127.0.0.1:8443 with the sample server
  lockgate up --listen 127.0.0.1:0      let the system choose the port
  lockgate up --output json             one line of JSON on stdout when ready, for scripts

What it makes, once, in the state directory: a local authority, a policy file that permits your
own agent on this machine and nobody else, and an audit log.
Ctrl-C drains and stops; a second Ctrl-C stops at once.";

pub(super) const GATEWAY: &str = "\
Examples:
  lockgate gateway --to http://127.0.0.1:3001/mcp
  lockgate gateway --to time='stdio:uvx mcp-server-time' --to web=https://mcp.example/mcp
  lockgate gateway --config lockgate.toml --listen 0.0.0.0:8443

Each server is at /servers/NAME/mcp, and all of them together are at /mcp, where the names of
their tools begin with NAME_.
SIGHUP reloads policies, profiles, certificates and log level; so does changing the files.
SIGTERM drains and stops.";

pub(super) const CONNECT: &str = "\
Examples:
  lockgate connect https://127.0.0.1:8443/servers/sample/mcp     on the gateway's own machine
  lockgate connect --invite lg1.… https://gw.example:8443/mcp    elsewhere, the first time
  lockgate connect https://gw.example:8443/mcp                   and from then on
  lockgate connect https://gw.example:8443/mcp --listen 127.0.0.1:7000
                                         as local HTTP, for clients that cannot start a command

In an MCP client's configuration:
  {\"mcpServers\": {\"files\": {
    \"command\": \"lockgate\",
    \"args\": [\"connect\", \"https://gw.example:8443/servers/files/mcp\"]}}}

The certificate renews itself while the connector runs. Ending stdin ends the connector.";

pub(super) const WRAP: &str = "\
Examples:
  lockgate wrap -- npx -y @modelcontextprotocol/server-filesystem /srv/data
  lockgate wrap --name time --listen 0.0.0.0:8443 -- uvx mcp-server-time";

pub(super) const ADOPT: &str = "\
Examples:
  lockgate adopt --all --dry-run       what would change, for every client
  lockgate adopt --all                 shows the same, asks, and does it
  lockgate adopt cursor --yes          one client, without being asked
  lockgate adopt claude-code --projects ~/src
  lockgate adopt --undo                every configuration as it was before

Each server moves into STATE/gateway.toml, its credential into the sealed store, and the client
starts `lockgate connect --local NAME` in its place, which starts the gateway if need be.
Comments and order in the client's file stay. Servers that only the client can start are left.";

pub(super) const DISCOVER: &str = "\
Examples:
  lockgate discover                                  this machine: configurations and processes
  lockgate discover --projects ~/src                 and every project below ~/src
  lockgate discover --probe local --list-tools       what listens here, and which tools it has
  lockgate discover --probe 10.0.0.0/24:8080         a range that is yours, slowly
  lockgate discover --registry https://registry.modelcontextprotocol.io
  lockgate discover --output json > before.json      for programs, and to compare with later
  lockgate discover --format mermaid                 as a drawing; dot and cyclonedx likewise
  lockgate discover --watch                          and what changes from now on
  lockgate discover --fail-on high                   exit code 1 if anything is that bad

Nothing that is configured is run, nothing is changed, and secrets are not shown: only a keyed
hash of each, so that the same secret in two places is seen to be the same.";

pub(super) const DISCOVER_DIFF: &str = "\
Examples:
  lockgate discover diff before.json after.json
  lockgate discover diff before.json after.json --output jsonl | jq .item";

pub(super) const STATUS: &str = "\
Examples:
  lockgate status
  lockgate status --output json | jq '.links[].quantum_safe'";

pub(super) const DASHBOARD: &str = "\
Examples:
  lockgate dashboard                prints a URL that is good once, for a minute
  lockgate dashboard --open         opens it in this desktop's browser
  ssh -L 7700:ADMIN-ADDRESS HOST    from elsewhere: forward the port that `lockgate status` shows

It looks at everything and changes nothing. With `write = true` in [admin] of the configuration it
can also approve and reject what waits for a person.";

pub(super) const TAP: &str = "\
Examples:
  lockgate tap                                    everything, from now on
  lockgate tap --verdict refused --last 20        the last refusals, and those to come
  lockgate tap --agent laptop --tool delete --output jsonl | jq .

Verdicts: ok, denied, held, killed, screened, refused (any refusal), failed, cancelled.
What it shows is in memory and bounded; the proof is in the audit log: lockgate audit tail";

pub(super) const TOP_VIEW: &str = "\
Examples:
  lockgate top                      q quits, p pauses
  lockgate top | tee rates.txt      without a terminal: one line a second
  lockgate top --output json        the figures once, for programs";

pub(super) const PING: &str = "\
Examples:
  lockgate ping                                 the node on this machine
  lockgate ping https://gw.example:8443 -n 3    three handshakes; the later ones are resumed
  lockgate ping --output jsonl

Exit code 0 says that the link is quantum-safe, 1 that it works but is not, 5 that the two ends
share no permitted algorithm.";

pub(super) const DOCTOR: &str = "\
Examples:
  lockgate doctor                 exit code 0 if nothing stands in the way, 1 otherwise
  lockgate doctor --output json";

pub(super) const EXPLAIN: &str = "\
Examples:
  lockgate explain                the nine stages and every code
  lockgate explain LG-N001
  lockgate explain permit";

pub(super) const INVITE: &str = "\
Examples:
  lockgate identity invite --name laptop                 usable once, within 15 minutes
  lockgate identity invite --name ci --lifetime 2h --output json

Give the code to the person or machine that is to connect, over a channel that you trust:
  lockgate connect --invite CODE";

pub(super) const REVOKE: &str = "\
Examples:
  lockgate identity revoke agent/build-7 --reason 'its key was in a log'
  lockgate identity revoke 'agent/build-*' --for 2h
  lockgate identity revoke role:contractor
  lockgate identity revoke key:FINGERPRINT              as `lockgate identity list` shows it
  lockgate identity restore agent/build-7

When the command returns, its links and streams are cut and it gets no new link, certificate or
token, also after a restart.";

pub(super) const APPROVALS: &str = "\
Examples:
  lockgate approvals list
  lockgate approvals --watch            new ones as they come; --output jsonl for programs
  lockgate approvals show ID            with all arguments
  lockgate approvals approve ID         once, for these arguments, within 10 minutes
  lockgate approvals reject ID --reason 'ask for less'

A call that policy holds was not made. Its model is told to make it again later.";

pub(super) const WHOAMI: &str = "\
Examples:
  lockgate identity whoami                        certificates, selectors, registrations
  lockgate identity whoami --output json | jq -r '.process.selectors[]'

Selectors are what a [[register]] can ask for. They are those of this very process: its parent is
your shell, and its executable is lockgate.";

pub(super) const THREATS: &str = "\
Examples:
  lockgate threats list           what changed since it was first seen
  lockgate threats show ID        everything that changed, and what it amounts to
  lockgate threats approve ID     after you have read the difference

A tool whose definition changed since it was first seen is hidden and refused until approved.";

pub(super) const THREATS_SUPPRESS: &str = "\
Examples:
  lockgate threats suppress LG-D004 --server notes --tool export --reason \"we wrote both\" --until 2027-03-01
  lockgate threats suppress LG-D007 --server web --reason \"new partner, ticket 4711\" --for 8h

What is silent neither stops anything nor is recorded. Both the suppression and its end are recorded.";

pub(super) const THREATS_REPLAY: &str = "\
Examples:
  lockgate threats replay --since 24h --ruleset new.toml

Records hold the codes of findings; they hold arguments only with policy.record_arguments, and never results. So this
tells what follows from findings that were made, and finds anew only what shows in recorded arguments.";

pub(super) const SCAN: &str = "\
Examples:
  lockgate scan tools.json                               a saved answer to tools/list
  lockgate scan *.jsonl --output sarif > scan.sarif      for a code host
  lockgate scan --fail-on medium tools.json
  lockgate scan \"stdio:npx -y @scope/server@1.2.3\"       starts it, lists its tools, ends it

Definitions of all targets are read against each other, as at a gateway in front of all of them. Exit code 1: found.
No server is started or reached but those that are named.";

pub(super) const AUDIT: &str = "\
Examples:
  lockgate audit tail                       the last 20 records as a table
  lockgate audit tail -n 5 --output jsonl
  lockgate audit tail --follow
  lockgate audit tail --raw                 the events as they are signed (OCSF), line by line";

pub(super) const AUDIT_QUERY: &str = "\
Examples:
  lockgate audit query --verdict refused --since 24h
  lockgate audit query --agent editor --tool delete --all --output jsonl
  lockgate audit query --quantum-safe no --since 2026-11-01 --until 2026-12-01
  lockgate audit query --rule night-shift --code -31001 -n 5
  lockgate audit query --dir /evidence/audit --agent =spiffe://example.org/agent/editor
                                            a copy, on any machine

The newest come first. An index beside the log makes it fast; it is made where it is missing, and never believed against
the records themselves. What is found is not thereby proved: lockgate audit verify, lockgate audit prove SEQ.";

pub(super) const AUDIT_VERIFY: &str = "\
Examples:
  lockgate audit verify                     the node's own log; exit code 0 if it holds, 1 if not
  lockgate audit verify --from 1000 --to 2000
  lockgate audit verify /evidence/audit --key auditor.keys
                                            a copy, on a machine that has only the public key
  lockgate audit verify --witness b.keys    has that witness cosigned it?
  lockgate audit verify --seen checkpoint   is what was signed then still a part of it?
  lockgate audit verify record.tlog-proof --key auditor.keys

Without a key the log is checked against itself, and whoever can write its folder could have made all
of it anew. Every --key must have signed the newest checkpoint.";

pub(super) const AUDIT_PROVE: &str = "\
Examples:
  lockgate audit prove 4711 --out record.tlog-proof
  lockgate audit verify record.tlog-proof --key auditor.keys

The file holds the record, its path to the root of the log's tree, and the signed checkpoint
(C2SP tlog-proof). The record is in the open in it: give it to whom the record may be shown.";

pub(super) const AUDIT_WITNESS: &str = "\
Examples:
  lockgate audit witness
  lockgate audit verify --quorum 2          have two of the witnesses cosigned the log?

A witness keeps the newest checkpoint of a log and cosigns only what goes on from it, so that nobody can
show two histories unnoticed. Two nodes can witness each other:
  [witness]                                 on the one who cosigns
  logs = [\"a.keys\"]                        what `lockgate audit key` prints on the other
  [[audit.witness]]                         on the one who is cosigned
  url = \"https://b.example:8443\"
  keys = [\"b.keys\"]                        what `lockgate audit key` prints there
  roots = \"b.pem\"                          STATE/authority/authority.pem there";

pub(super) const AUDIT_KEY: &str = "\
Examples:
  lockgate audit key > auditor.keys         hand this to auditors, by a way that they trust
  lockgate audit key --rotate               while the node is down; then start it

A new key is vouched for by the old one: one checkpoint is signed by both, and a record says so.";

pub(super) const POLICY: &str = "\
Examples:
  lockgate policy check                     the policy files of the state directory
  lockgate policy check new.toml            before you put it there
  lockgate policy check policy/ --tools crm=tools.json
                                            with the arguments of each tool checked, too
  lockgate policy show --cedar              what role files compile to

Every mistake is shown with file, line and column, and the word that was probably meant. Warnings
(tools that no server has shown yet) leave the exit code 0.";

pub(super) const POLICY_TEST: &str = "\
Examples:
  lockgate policy test                      every *.test.toml beside the policies
  lockgate policy test policy/              the cases and the policies of a folder
  lockgate policy test --output json | jq '.cases[] | select(.passed | not)'

A case is a call and the decision that it ought to get:
  [[case]]
  name = \"email is fine\"
  agent = \"agent/retail-1\"
  tool = \"crm/get_customer\"
  arguments = { customer_id = \"c-1\", fields = [\"email\"] }
  at = \"2026-11-22T14:00:00+01:00\"      [default: a Monday at noon, UTC]
  link = \"quantum-safe\"                 or quantum-safe-group, classical, plain
  facts.staff = { on_duty = 2 }
  expect = \"allow\"                      or deny, hold, kill
  by = \"retail-bot.read-customer\"       optional: the rule that ought to decide

Exit code 0 if all cases went as expected, 1 if not.";

pub(super) const POLICY_EXPLAIN: &str = "\
Examples:
  lockgate policy explain --agent agent/retail-1 --tool crm/get_customer \\
      --arguments '{\"fields\":[\"ssn\"]}'
  lockgate policy explain --agent agent/clinic --tool ehr/read --arguments @call.json \\
      --at '2026-11-22 02:00 Europe/Berlin' --fact staff.on_duty=0
  lockgate policy explain --record 4711                       why was that denied?
  lockgate policy explain --record 4711 --link quantum-safe   and over a better link?

Shows the rule that decided, or the permits that came nearest with each of their clauses, and the
facts and roles that counted. Exit code 0 says that the call is allowed, 1 that it is not.";

pub(super) const POLICY_WHO: &str = "\
Examples:
  lockgate policy who-can crm/get_customer
  lockgate policy what-can agent/retail-1
  lockgate policy what-can agent/new --role retail-bot

Sometimes means: depending on arguments, time, facts or link; the conditions are shown.";

pub(super) const POLICY_SCHEMA: &str = "\
Example:
  lockgate policy schema > role-file.schema.json

Editors with a TOML language server take it by a comment in the first line of a role file:
  #:schema ./role-file.schema.json";

pub(super) const POLICY_DIFF: &str = "\
Examples:
  lockgate policy diff policy/ new/         what would become possible, with an example each
  lockgate policy diff before.cedar         compared with the policies in force

By proof over all calls if the solver cvc5 is installed (Debian: apt install cvc5). Without one, by
the cases and records at hand, which is no proof, and it says so.
Rates, fields of results, approvals and consequences that were changed are listed, not compared.
Exit code 0 if nothing newly becomes possible and no rule has other terms, 1 if so or if it could
not be decided.";

pub(super) const POLICY_PROVE: &str = "\
Examples:
  lockgate policy prove 'never-touch system_config'
  lockgate policy prove 'never agent/support tool billing/*' 'only role/ops can crm/delete'
  lockgate policy prove 'never role/retail-bot server billing'
  lockgate policy prove --never 'permit(principal, action in Lockgate::Action::\"tools/call\", resource)
      when { !context.link.quantum_safe };'

Needs the solver cvc5 (Debian: apt install cvc5). Exit code 0 if it is proved for all calls, 1 if
a call breaks it (shown, as a command that explains it) or if it could not be decided, 4 without
a solver. Lines that begin with \"assumed\" say what was taken for granted: types of arguments that
no server has shown, roles of agents that are named.";

pub(super) const POLICY_REPLAY: &str = "\
Examples:
  lockgate policy replay --since 24h --policy new/      what would have changed since yesterday
  lockgate policy replay --since 7d --output json

Calls whose arguments were not recorded are counted as unknown unless no argument could matter;
set policy.record_arguments to record them. Exit code 0 if nothing would change, 1 if something
would.";

pub(super) const POLICY_SUGGEST: &str = "\
Examples:
  lockgate policy suggest --since 7d                    shown, not written
  lockgate policy suggest --out proposed/ --zone Europe/Berlin
  lockgate policy diff policy/ proposed/                what would be lost

Learns from calls that were allowed: constants, small sets, common beginnings, highest numbers,
hours. Values of sensitive arguments are never widened from a single sample. The result is decided
against the records and, with a solver, proved to grant nothing that is denied today.";

pub(super) const EXPORTS: &str = "\
Examples:
  lockgate exports                          exit code 1 while one fails, or lost records
  lockgate exports --output json | jq '.exports[] | select(.behind > 1000)'

Add one to the configuration; a reload begins it:
  [[export]]
  name = \"siem\"
  kind = \"syslog\"                          otlp, splunk, syslog or jsonl
  to = \"tls://logs.example:6514\"

Each record arrives at least once and in order: the cursor moves when a batch was taken, and
outlives restarts. What cannot be sent waits in the log; no call waits for it.";

pub(super) const FACTS: &str = "\
Examples:
  lockgate facts list
  lockgate facts get appointment --key p-17     asks the provider now; exit code 1 if absent
  lockgate facts list --output json | jq '.facts[] | select(.last.present | not)'

A permit that needs a fact cannot match while the fact is missing or older than its max_age.";

pub(super) const FACTS_PUSH: &str = "\
Examples:
  lockgate crypto keygen roster.key                            once; also makes roster.key.pub
  lockgate facts push staff roster.json --key roster.key
  lockgate facts push appointment p17.json --about p-17 --key roster.key
  lockgate facts push staff --withdraw --key roster.key

In the node's configuration:
  [[fact]]
  name = \"staff\"
  from = \"push\"
  signer = \"roster.key.pub\"
  fields = { on_duty = \"integer\" }
  max_age = \"15m\"";

pub(super) const CONFIG: &str = "\
Examples:
  lockgate config schema > lockgate.schema.json     for completion in your editor
  lockgate config validate lockgate.toml
  LOCKGATE_NODE_PROFILE=pq-transition lockgate config show

Order: defaults, then the file, then LOCKGATE_SECTION_KEY, then flags.";

pub(super) const ROTATE_ROOT: &str = "\
Examples:
  lockgate identity show                                 the roots, by algorithm
  lockgate identity rotate-root ML-DSA-65 --overlap 7d

Peers with a link hear of the new root in band. A peer that is away for longer than the overlap has
to enrol again.";

pub(super) const PROFILES: &str = "\
Examples:
  lockgate crypto profiles
  lockgate crypto profiles --output json | jq '.profiles[].name'

A name with a date never changes its meaning; a name without one means the newest.";

pub(super) const SHOW: &str = "\
Examples:
  lockgate crypto show                  each listener, upstream, exception and peer
  lockgate crypto show --effective      with every algorithm in force, and what was left out
  lockgate crypto show --output json | jq '.places[] | {name, profile, why}'";

pub(super) const PLAN: &str = "\
Examples:
  lockgate crypto plan cnsa2-transition                 for the tunnels of connectors
  lockgate crypto plan pq-hybrid --listener foreign     would browsers still get in?
  lockgate crypto plan bsi-hybrid --peer 'spiffe://lockgate.internal/agent/*'

Exit code 0 says that nobody would be cut off, 5 that somebody would.";

pub(super) const APPLY: &str = "\
Examples:
  lockgate crypto apply bsi-hybrid                      tunnels move to it, within crypto.drain_s
  lockgate crypto apply bsi-hybrid --drain 2m
  lockgate crypto apply pq-kex --upstream weather
  lockgate crypto apply pq-transition --listener foreign --for 7d
  lockgate crypto apply pq-transition --peer spiffe://lockgate.internal/agent/old \\
                 --for 7d --reason 'waits for its update'

Refused with exit code 5 if a peer would be cut off, unless --cut-off is given. Taken back with:
  lockgate crypto rollback";

pub(super) const BAN: &str = "\
Examples:
  lockgate crypto ban SecP256r1MLKEM768 --reason 'advisory 2026-17'
  lockgate crypto ban MLKEM768 --reason drill --now            and every hybrid that contains it
  lockgate crypto ban aws-lc/X25519MLKEM768 --reason 'CVE'  one implementation of it
  lockgate crypto lift SecP256r1MLKEM768

When the command returns, no new handshake, resumption or certificate accepts the algorithm.";

pub(super) const PROBE: &str = "\
Examples:
  lockgate crypto probe example.org:443
  lockgate crypto probe 127.0.0.1:8443 --output json | jq .groups

It makes some dozens of handshakes, one after another, and sends nothing after them.";

pub(super) const INVENTORY: &str = "\
Examples:
  lockgate crypto inventory
  lockgate crypto inventory --format cyclonedx > cbom.json";

pub(super) const DRILL: &str = "\
Examples:
  lockgate crypto drill lattice-broken                     nothing is changed
  lockgate crypto drill classical-broken --live --for 60s  really, and back again by itself

Exit code 0 says that every peer would follow, 5 that some would be cut off.";

pub(super) const SIGN: &str = "\
Examples:
  lockgate crypto keygen crypto.key                        offline, once; also makes crypto.key.pub
  lockgate crypto sign crypto.toml --key crypto.key        makes crypto.toml.sig

In the node's configuration:
  [crypto]
  document = \"crypto.toml\"
  trust = [\"crypto.key.pub\"]";

pub(super) const SECRET: &str = "\
Examples:
  lockgate secret put crm-token < token.txt
  pass show crm | lockgate secret put crm-token
  lockgate secret list

In the configuration, beside the server that gets it:
  [[server]]
  name = \"crm\"
  to = \"https://crm.internal/mcp\"
  credential = { secret = \"crm-token\" }        # as Authorization: Bearer …

The key lies beside the secrets, or where `secrets.key` says: a credential of the service manager,
a token that can be pulled. Without it nothing opens, and servers get nothing.";

pub(super) const REPORT: &str = "\
Examples:
  lockgate report soc2 --period 2026-Q4 --out reports/soc2      then open reports/soc2/index.html
  lockgate report quantum --period 2026-11 --out reports/q --config lockgate.toml
  lockgate report gdpr --period 2026-11-01..2026-11-30 --out DIR --from /mnt/evidence/audit
  lockgate report pci --period 2026-11 --out DIR --fail-on exceptions     in a nightly job

The log is verified first, and the result stands on the first page. index.html prints well, to
PDF too, and loads nothing. Each figure names records that anyone can check against the log.
No report says that a control is met: it says what records show, what did not hold, what is
missing and what no log can know.
Exit codes: 0 written, 1 written and there are exceptions (with --fail-on exceptions).";
