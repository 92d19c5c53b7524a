//! What every service needs: ledger client, header follower, request signatures, problem details, telemetry, configuration
