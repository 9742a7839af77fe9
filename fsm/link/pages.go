package link

// pageSize is how many links share a page: what is copied when one of them changes after a snapshot.
const pageSize = 256

// page is a run of links; epoch is the one in which it was made.
type page struct {
	infos [pageSize]*info
	epoch uint64
}

// pages is an array of links that is copied only where it changes after it was shared.
type pages struct {
	pages []*page
	epoch uint64 // pages of an older one are shared with a snapshot
	top   bool   // whether the slice itself is shared
}

func (p *pages) get(i int) *info {
	if i/pageSize >= len(p.pages) || p.pages[i/pageSize] == nil {
		return nil
	}
	return p.pages[i/pageSize].infos[i%pageSize]
}

func (p *pages) set(i int, v *info) {
	n := i / pageSize
	if p.top {
		p.pages, p.top = append([]*page(nil), p.pages...), false
	}
	for n >= len(p.pages) {
		p.pages = append(p.pages, nil)
	}
	if old := p.pages[n]; old == nil {
		p.pages[n] = &page{epoch: p.epoch}
	} else if old.epoch != p.epoch {
		c := *old
		c.epoch = p.epoch
		p.pages[n] = &c
	}
	p.pages[n].infos[i%pageSize] = v
}

// share gives what is there now to a reader; it never changes after that.
func (p *pages) share() pages {
	p.epoch++
	p.top = true
	return pages{pages: p.pages}
}
