package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// askAgain is how long a member is left alone that did not answer.
const askAgain = 100 * time.Millisecond

// canDoWithout refuses to take a voter away where that would stop the cluster for good: the voters that are left must have a
// majority that answers. Raft itself would first believe in the smaller membership and then wait for it forever.
func (n *Node) canDoWithout(ctx context.Context, id string, servers []raft.Server) error {
	if s, ok := find(servers, id); !ok || s.Suffrage != raft.Voter {
		return nil
	}
	var left []Member
	for _, s := range servers {
		if s.Suffrage == raft.Voter && string(s.ID) != id {
			left = append(left, n.member(s, "", nil))
		}
	}
	if len(left) == 0 {
		return fmt.Errorf("%w: the cluster would end with it: to give the cluster up, stop the node", ErrLastVoter)
	}
	silent := n.silent(ctx, left)
	if isMajority(len(left)-len(silent), len(left)) {
		return nil
	}
	names := make([]string, len(silent))
	for i, m := range silent {
		names[i] = m.Name
	}
	slices.Sort(names)
	return fmt.Errorf("%w: of the %d voters that would be left only %d answer, no majority: bring back or remove %s first", ErrQuorum, len(left),
		len(left)-len(silent), strings.Join(names, ", "))
}

func isMajority(some, all int) bool { return some > all/2 }

// silent is those of the voters that have not answered when a majority has, or after indexTimeout. Who does not answer is asked
// again until then: one that has just come back is not reached at once.
func (n *Node) silent(ctx context.Context, voters []Member) []Member {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	left := slices.Clone(voters)
	for {
		answered := map[string]bool{}
		for d := range n.describeAll(ctx, left) {
			answered[d.Member.ID] = true
		}
		left = slices.DeleteFunc(left, func(m Member) bool { return answered[m.ID] })
		if isMajority(len(voters)-len(left), len(voters)) || !pause(ctx, askAgain) {
			return left
		}
	}
}

// described is what a member said of itself.
type described struct {
	Member Member
	Description
}

// describeAll asks members, all at once, and yields what those said that answered as the ones they are.
func (n *Node) describeAll(ctx context.Context, members []Member) iter.Seq[described] {
	return func(yield func(described) bool) {
		ctx, cancel := context.WithTimeout(ctx, indexTimeout)
		defer cancel()
		answers := make(chan described, len(members))
		for _, m := range members {
			go func() {
				d, err := n.describe(ctx, m)
				if err != nil {
					n.log.Debug("member does not answer", "id", m.ID, "name", m.Name, "error", err)
				}
				answers <- described{Member: m, Description: d}
			}()
		}
		for range members {
			if d := <-answers; d.NodeID != "" && !yield(d) {
				return
			}
		}
	}
}

func (n *Node) describe(ctx context.Context, m Member) (Description, error) {
	if m.ID == n.ID() {
		return n.Describe(ctx, false)
	}
	if m.GRPCAddress == "" || n.deps.Peers == nil {
		return Description{}, errors.New("no gRPC address is known")
	}
	d, err := n.deps.Peers.Describe(ctx, m.GRPCAddress, false)
	if err == nil && d.NodeID != m.ID {
		return Description{}, errOtherNode(m.GRPCAddress, d.NodeID, m.ID)
	}
	return d, err
}
