// Command coredhcp is coredhcp with the plugins that an example needs, and leasehold.
package main

import (
	"flag"
	"log"

	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/coredhcp/coredhcp/plugins/file"
	"github.com/coredhcp/coredhcp/plugins/prefix"
	"github.com/coredhcp/coredhcp/plugins/serverid"
	"github.com/coredhcp/coredhcp/server"

	"github.com/leasehold/leasehold/deploy/examples/coredhcp"
)

func main() {
	path := flag.String("conf", "config.yml", "coredhcp's configuration file")
	flag.Parse()
	for _, p := range []*plugins.Plugin{&serverid.Plugin, &file.Plugin, &prefix.Plugin, &leasehold.Plugin} {
		if err := plugins.RegisterPlugin(p); err != nil {
			log.Fatal(err)
		}
	}
	c, err := config.Load(*path)
	if err != nil {
		log.Fatal(err)
	}
	s, err := server.Start(c)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(s.Wait())
}
