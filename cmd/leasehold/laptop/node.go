package laptop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Node is one node of the cluster. Its JSON form is part of cluster.json.
type Node struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	PID           int    `json:"pid"`
	Config        string `json:"config"` // path of its configuration file
	LeasequeryTCP string `json:"leasequery_tcp"`
	LeasequeryUDP string `json:"leasequery_udp"`
	GRPC          string `json:"grpc"`
	HTTP          string `json:"http"`

	binary string
	log    string
	ports  ports
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	err    error         // how it ended; read after exited is closed
}

// Start runs the node's process. It must not be running.
func (n *Node) Start() error {
	out, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", n.Name, err)
	}
	defer out.Close()
	cmd := exec.Command(n.binary, "server", "--config", n.Config)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: an interrupt at the terminal is ours to pass on, in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.cmd, n.PID, n.exited = cmd, cmd.Process.Pid, make(chan struct{})
	go func(exited chan struct{}) {
		n.err = cmd.Wait()
		close(exited)
	}(n.exited)
	return nil
}

// Replace makes the next Start run another binary.
func (n *Node) Replace(binary string) { n.binary = binary }

// Running tells whether the node's process runs.
func (n *Node) Running() bool {
	if n.exited == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// Signal sends the node's process a signal. It is an error if it does not run.
func (n *Node) Signal(s os.Signal) error {
	if !n.Running() {
		return fmt.Errorf("signal %s: %w", n.Name, os.ErrProcessDone)
	}
	if err := n.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the node's process at once, as kill -9 does, and waits for it.
func (n *Node) Kill() error {
	if err := n.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-n.exited
	return nil
}

// Stop asks the node's process to end and waits; after grace it kills it.
func (n *Node) Stop(grace time.Duration) error {
	if err := n.Signal(syscall.SIGTERM); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			if n.exited != nil { // it may have ended just now: whoever stops it may count on it
				<-n.exited
			}
			return nil
		}
		return err
	}
	select {
	case <-n.exited:
		return nil
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("%s did not stop within %v", n.Name, grace), n.Kill())
	}
}

// AwaitReady waits until the node's /readyz says yes. It fails when the process ends or ctx does.
func (n *Node) AwaitReady(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if r, err := client.Get("http://" + n.HTTP + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return n.readID()
			}
		}
		select {
		case <-tick.C:
		case <-n.exited:
			return fmt.Errorf("%s ended before it was ready (%w); the end of its log:\n%s", n.Name, errOr(n.err), n.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to be ready: %w; the end of its log:\n%s", n.Name, context.Cause(ctx), n.tail())
		}
	}
}

func errOr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// readID reads the id that the node gave itself.
func (n *Node) readID() error {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(n.Config), n.Name, "identity.json"))
	if err != nil {
		return fmt.Errorf("read the id of %s: %w", n.Name, err)
	}
	var identity struct {
		NodeID string `json:"node_id"`
	}
	if err := json.Unmarshal(b, &identity); err != nil {
		return fmt.Errorf("read the id of %s: %w", n.Name, err)
	}
	n.ID = identity.NodeID
	return nil
}

// tail is the last part of the node's log.
func (n *Node) tail() string {
	const most = 2000
	b, err := os.ReadFile(n.log)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-most):])
}
