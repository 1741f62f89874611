#!/bin/bash
# The load test of the integration document, against the service at BASE.
set -euo pipefail
: "${API_KEY:?}" "${BASE:?}"

# 1. Provision multiple engines
for i in {1..10}; do
  curl -sS --fail-with-body -X POST -H "Authorization: Bearer $API_KEY" \
    -H "Content-Type: application/json" \
    "$BASE/provision/acestream"
  echo
done

# 2. Simulate stream requests; -l: the list may change meanwhile
ab -l -n 1000 -c 50 -H "Authorization: Bearer $API_KEY" \
  "$BASE/engines"

# 3. Monitor metrics
curl -sS --fail-with-body "$BASE/metrics" | grep orch_api_duration
