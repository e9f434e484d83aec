import '../style/app.css';
import { render } from 'preact';
import { Bar } from '../ui/bar';

render(<Bar />, document.querySelector('.bar')!);
