/** A labelled choice. */
export function Select<T extends string | number>({ label, value, options, onPick, disabled }: {
  label: string;
  value: T;
  options: { value: T; text: string }[];
  onPick: (v: T) => void;
  disabled?: boolean;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select disabled={disabled} onChange={(e) => onPick(options[e.currentTarget.selectedIndex]!.value)}>
        {options.map((o) => <option key={o.value} selected={o.value === value}>{o.text}</option>)}
      </select>
    </label>
  );
}
