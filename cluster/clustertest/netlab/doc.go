// Package netlab gives tests machines of their own: each host is a network namespace with one interface on a bridge that all hosts
// of the lab share. Real processes run on the hosts, the test can connect and listen there itself, and any wire can be cut, in one
// direction or in both.
//
// The law: nothing outlives the test. Processes that run on a host end with it, or with the test's own process, however that ends;
// namespaces that a killed test left are removed by the next one. Only what is on the lab's hosts is ever touched: the bridge has a
// namespace too, and nothing is connected to the machine's own network.
//
// It needs Linux, root, and the programs ip (iproute2) and nft (nftables). Without them New skips the test.
package netlab
