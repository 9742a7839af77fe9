package main

import (
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

func relayDataMode(m config.RelayDataMode) leasequery.RelayDataMode {
	switch m {
	case config.Always:
		return leasequery.RelayDataAlways
	case config.OnRequest:
		return leasequery.RelayDataOnRequest
	}
	return leasequery.RelayDataDefault
}

func relayDataPlace(p config.RelayDataPlace) leasequery.RelayDataPlace {
	switch p {
	case config.InClientData:
		return leasequery.RelayDataInClientData
	case config.InMessage:
		return leasequery.RelayDataInMessage
	}
	return leasequery.RelayDataPlaceDefault
}

func optionCodes(codes []uint16) []dhcpv6.OptionCode {
	var out []dhcpv6.OptionCode
	for _, c := range codes {
		out = append(out, dhcpv6.OptionCode(c))
	}
	return out
}

// requestorPolicy is who may ask, and what.
func requestorPolicy(cfg config.Config) (*leasequery.Policy, error) {
	var list []leasequery.Requestor
	for i := range cfg.Requestors {
		list = append(list, requestorStanza(&cfg.Requestors[i]))
	}
	return leasequery.NewPolicy(list)
}

func requestorStanza(r *config.Requestor) leasequery.Requestor {
	x := leasequery.Requestor{
		Name: r.Name, Prefixes: r.Prefixes, Names: r.Names, Sensitive: optionCodes(r.Sensitive),
		RelayData: relayDataMode(r.RelayData.Mode), RelayDataPlace: relayDataPlace(r.RelayData.Place), Relayed: r.Relayed == config.Allow,
		NoActive: r.Active == config.Refuse, ActiveSensitive: optionCodes(r.ActiveSensitive), Rate: r.Rate, Burst: r.Burst,
		MaxConnections: r.MaxConnections, MaxQueriesPerConnection: r.MaxQueriesPerConnection, MaxQueries: r.MaxQueries,
		MaxSubscriptions: r.MaxSubscriptions,
	}
	for _, t := range r.QueryTypeNumbers() {
		x.QueryTypes = append(x.QueryTypes, dhcpv6.QueryType(t))
	}
	if r.Restricted != nil {
		x.Restricted = &leasequery.Restriction{Links: r.Restricted.Links, RelayIDs: r.Restricted.RelayIDBytes(), Addresses: r.Restricted.Addresses}
	}
	return x
}
