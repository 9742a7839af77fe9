// Package admin is the cluster's administration: the service of proto/admin/v1.
//
// The law: what changes the cluster is done by the leader, in one hop, once; an operator's command that fails does so visibly and
// is retried by nobody. What is listed comes from one view.
package admin
