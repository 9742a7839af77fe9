package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func someAgents() *adminv1.SourcesResponse {
	return &adminv1.SourcesResponse{Sources: []*adminv1.Source{{Name: "isc"}, {Name: "kea", Bindings: 7, Epoch: 255, Agents: []*adminv1.Agent{
		{Instance: "kea-a", Connected: true, ReportAgeMs: 1500, ChangeAgeMs: proto.Uint64(500), ResyncAgeMs: proto.Uint64(61_000), RefusedChanges: 1,
			RefusedRecords: 2, AgentSkewMs: 12, ServerSkewMs: proto.Int64(-3_600_250)},
		{Instance: "kea-b", ReportAgeMs: 90_400, LagMs: 20, Trouble: "connect: no such file"},
		{Instance: "kea-c", Connected: true, ReportAgeMs: 31_000},
	}}}}
}

func TestAgentsForPeople(t *testing.T) {
	var b bytes.Buffer
	if err := printAgents(&b, someAgents()); err != nil {
		t.Fatal(err)
	}
	want := `
SOURCE  AGENT  STATE           LAG   LAST CHANGE  LAST RESYNC  REFUSED  SKEW     SERVER SKEW  TROUBLE
kea     kea-a  connected       0s    2s ago       1m3s ago     1+2      +0.012s  -3600.250s   -
kea     kea-b  gone for 1m30s  20ms  never        never        0+0      +0.000s  -            connect: no such file
kea     kea-c  silent for 31s  0s    never        never        0+0      +0.000s  -            -
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := printAgents(&b, &adminv1.SourcesResponse{AgentsMissing: "no leader"}); err != nil || b.String() != "\nWhat agents report is not known: no leader\n" {
		t.Errorf("%v, %q", err, b.String())
	}
	b.Reset()
	if err := printAgents(&b, &adminv1.SourcesResponse{}); err != nil || b.Len() != 0 {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestAgentsAsJSON(t *testing.T) {
	got, err := json.MarshalIndent(sourcesJSON(someAgents()).Sources[1].Agents[:2], "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `[
 {
  "instance": "kea-a",
  "connected": true,
  "report_age_ms": 1500,
  "lag_ms": 0,
  "change_age_ms": 500,
  "resync_age_ms": 61000,
  "refused_changes": 1,
  "refused_records": 2,
  "agent_skew_ms": 12,
  "server_skew_ms": -3600250,
  "trouble": ""
 },
 {
  "instance": "kea-b",
  "connected": false,
  "report_age_ms": 90400,
  "lag_ms": 20,
  "change_age_ms": null,
  "resync_age_ms": null,
  "refused_changes": 0,
  "refused_records": 0,
  "agent_skew_ms": 0,
  "server_skew_ms": null,
  "trouble": "connect: no such file"
 }
]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
