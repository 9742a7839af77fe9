package main

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	sampleLeases = "../../feed/kea/testdata/kea-3.3/kea-leases6.csv"
	sampleConfig = "../../feed/kea/testdata/kea-3.3/kea.conf"
)

// fileLease is a lease as the lease file has it, read here by other means than the feeder's.
type fileLease struct {
	prefix           netip.Prefix
	delegated        bool
	duid             string
	valid, preferred uint32
	cltt             int64
	subnet           string
	relayIDs         []string // hex, lower case
	remoteIDs        []string // hex, with the enterprise number
}

// leasesInForce reads a lease file: the last line of each address counts, and only if it is a lease in force at the moment of
// the file's newest transaction.
func leasesInForce(t *testing.T, file string) (leases []fileLease, newest int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	lines.Scan()
	columns := map[string]int{}
	for i, name := range strings.Split(lines.Text(), ",") {
		columns[name] = i
	}
	last := map[string][]string{}
	for lines.Scan() {
		row := strings.Split(lines.Text(), ",")
		last[row[columns["address"]]+"/"+row[columns["lease_type"]]] = row
		if c := number(t, row[columns["expire"]]) - number(t, row[columns["valid_lifetime"]]); c > newest {
			newest = c
		}
	}
	for _, row := range last {
		get := func(name string) string { return row[columns[name]] }
		valid, expire := number(t, get("valid_lifetime")), number(t, get("expire"))
		if get("state") != "0" || valid == 0 || (valid != 4294967295 && expire <= newest) {
			continue
		}
		l := fileLease{delegated: get("lease_type") == "2", duid: get("duid"), valid: uint32(valid), preferred: uint32(number(t, get("pref_lifetime"))),
			cltt: expire - valid, subnet: get("subnet_id")}
		l.prefix = netip.PrefixFrom(netip.MustParseAddr(get("address")), int(number(t, get("prefix_len"))))
		l.relayIDs, l.remoteIDs = relayValues(t, get("user_context"))
		leases = append(leases, l)
	}
	return leases, newest
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var escaped = regexp.MustCompile(`&#x[0-9a-f]{2}`)

// relayValues finds the relay-ids and remote-ids that Kea 3 writes beside the options, at every level.
func relayValues(t *testing.T, context string) (relayIDs, remoteIDs []string) {
	t.Helper()
	if context == "" {
		return nil, nil
	}
	text := escaped.ReplaceAllStringFunc(context, func(s string) string {
		n, _ := strconv.ParseUint(s[3:], 16, 8) // the expression allows nothing else
		return string(rune(n))
	})
	var c struct {
		ISC struct {
			Relays []struct {
				RelayID  string `json:"relay-id"`
				RemoteID string `json:"remote-id"`
			} `json:"relay-info"`
		} `json:"ISC"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, r := range c.ISC.Relays {
		if r.RelayID != "" {
			relayIDs = append(relayIDs, strings.ToLower(r.RelayID))
		}
		if r.RemoteID != "" {
			remoteIDs = append(remoteIDs, strings.ToLower(r.RemoteID))
		}
	}
	return relayIDs, remoteIDs
}
