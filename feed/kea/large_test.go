package kea

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

// rowWriter writes made-up lines as Kea 3.3 writes them for a relayed client.
type rowWriter struct {
	file *os.File
	out  *bufio.Writer
	err  error
}

func newRowWriter(file *os.File) *rowWriter {
	w := &rowWriter{file: file, out: bufio.NewWriterSize(file, 1<<20)}
	_, w.err = w.out.WriteString(sampleHeader)
	return w
}

func (w *rowWriter) write(i int) {
	_, err := fmt.Fprintf(w.out, `2001:db8:%x:%x::1,00:03:00:01:02:00:5e:%02x:%02x:%02x,7200,1795432156,1,3600,0,%d,128,0,0,,,0,{ "ISC": { "relay-info": [ `+
		`{ "hop": 0&#x2c "link": "2001:db8:1000::1"&#x2c "options": "0x0012000E6574682D7472756E6B312E3131350025001200007ED9%08X3131312F31352F3939390035000E000200007ED9626E672D612D3031"&#x2c `+
		`"peer": "fe80::5eff:fe6f:fa3"&#x2c "relay-id": "000200007ED9626E672D612D3031"&#x2c "remote-id": "00007ED9%08X3131312F31352F393939" } ] } },1,8,0`+"\n",
		i>>16, i&0xffff, i>>16&0xff, i>>8&0xff, i&0xff, i, i, i)
	w.err = errors.Join(w.err, err)
}

func (w *rowWriter) close() error { return errors.Join(w.err, w.out.Flush(), w.file.Close()) }
