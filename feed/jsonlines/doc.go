// Package jsonlines is a feed.Source for scripts: it reads changes as JSON, one object a line, and states them.
//
//	{"address":"2001:db8::1","duid":"00:03:00:01:02:00:00:00:00:01","iaid":1,"preferred":3600,"valid":7200}
//	{"prefix":"2001:db8:8000::/56","duid":"00:03:00:01:02:00:00:00:00:01","iaid":1,"valid":7200,"last_transaction":1764072000}
//	{"change":"end","address":"2001:db8::1","duid":"00:03:00:01:02:00:00:00:00:01","iaid":1,"reason":"released"}
//	{"change":"link","link":"vlan7","prefixes":["2001:db8::/64"],"relays":["2001:db8::ff"]}
//	{"change":"remove-link","link":"vlan7"}
//	{"change":"begin","links":true}
//	{"change":"complete"}
//
// docs/ingest.md describes every member. A line that cannot be used costs only itself: it is reported with its number and the
// name of the member, and counted. But a full statement, from begin to complete, in which a line was refused is not completed:
// what that line was about would be removed.
package jsonlines
